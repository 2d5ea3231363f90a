import Primitives
import Synchronization

/// The system's clock, moved to another time; it may stand still there.
final class ShiftedClock: WallClock {
    private enum Reading {
        case ahead(Int64)
        case still(Int64)
    }

    private let reading = Mutex(Reading.ahead(0))

    func nowMicroseconds() -> Int64 {
        reading.withLock { reading in
            switch reading {
            case .ahead(let shift): SystemClock().nowMicroseconds() + shift
            case .still(let time): time
            }
        }
    }

    /// Goes on from there.
    func move(toMilliseconds time: Int64) {
        reading.withLock { $0 = .ahead(time * 1000 - SystemClock().nowMicroseconds()) }
    }

    func stop(atMicroseconds time: Int64) { reading.withLock { $0 = .still(time) } }
}
