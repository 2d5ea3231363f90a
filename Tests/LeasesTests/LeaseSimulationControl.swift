import Leases
import Primitives

/// The control plane's side of the stream. Each message is one transaction.
extension LeaseSimulation {
    func receive(_ message: ToControl, from plane: SimulatedPlane, _ boot: SimulatedControl.Boot, stream: UInt64) throws {
        switch message {
        case .hello(let number, let previous, let told, let reports):
            hello(number, previous, told, reports, from: plane, boot, stream)
        case .report(let reports):
            guard let holder = control.holders[boot] else { return }
            take(reports, from: holder)
        case .inventory(let reports, let epoch):
            guard epoch == control.epoch, var holder = control.holders[boot] else { return }
            take(reports, from: holder)
            do throws(LeaseRefusal) { try holder.takeInventory(onHello: stream, for: epoch) } catch { return }
            control.holders[boot] = holder
            closeWhatIsNotHeld(boot, named: Set(reports.map(\.slice)))
            control.awaited.remove(boot.dataPlane)
            reply(.told(epoch: epoch), to: plane, stream)
        case .ask(let ask): answer(ask, plane, boot, stream)
        }
    }

    private func reply(_ message: ToPlane, to plane: SimulatedPlane, _ stream: UInt64) {
        send { plane.receive(message, on: stream) }
    }

    private func hello(
        _ number: UInt64, _ previous: String, _ told: UInt64, _ reports: [SliceReport], from plane: SimulatedPlane,
        _ boot: SimulatedControl.Boot, _ stream: UInt64
    ) {
        var holder = control.holders[boot] ?? LeaseHolder(dataPlane: boot.dataPlane, boot: boot.boot)
        let namesAll: Bool
        do throws(LeaseRefusal) { namesAll = try holder.takeHello(number, toldEpoch: told, epoch: control.epoch) } catch { return }
        control.holders[boot] = holder
        for (id, slice) in control.slices where slice.dataPlane == boot.dataPlane && slice.boot != boot.boot {
            var slice = slice
            control.accounts[slice.account]?.orphan(&slice)
            control.slices[id] = slice
        }
        take(reports, from: holder)
        if namesAll {
            closeWhatIsNotHeld(boot, named: Set(reports.map(\.slice)))
            control.awaited.remove(boot.dataPlane)
        }
        let void = reports.filter { !(control.slices[$0.slice]?.isHeld ?? true) && $0.state == .open }
        reply(.welcome(epoch: control.epoch, void: void), to: plane, stream)
    }

    private func closeWhatIsNotHeld(_ boot: SimulatedControl.Boot, named: Set<SliceID>) {
        for (id, slice) in control.slices
        where slice.dataPlane == boot.dataPlane && slice.boot == boot.boot && slice.state == .open && !named.contains(id) {
            var slice = slice
            control.accounts[slice.account]?.notHeld(&slice)
            control.slices[id] = slice
            statistics.neverReceived += 1
        }
    }

    private func take(_ reports: [SliceReport], from holder: LeaseHolder) {
        for report in reports {
            makeAccount(report.account)
            guard var account = control.accounts[report.account] else { continue }
            if var slice = control.slices[report.slice] {
                _ = account.take(report, of: &slice, from: holder)
                control.slices[report.slice] = slice
            } else {
                control.slices[report.slice] = account.adopt(report, from: holder)
                statistics.adopted += 1
            }
            control.accounts[report.account] = account
        }
    }

    private func makeAccount(_ key: AccountKey) {
        if control.accounts[key] == nil { control.accounts[key] = LeaseAccount(limit: Self.limit(of: key)) }
    }

    private func answer(_ ask: LeaseAsk, _ plane: SimulatedPlane, _ boot: SimulatedControl.Boot, _ stream: UInt64) {
        let start = ask.account.periodStart
        guard now >= start - Self.tolerance, now < start + Self.period + Self.tolerance else {
            return reply(.refused(ask, .noSuchAccount), to: plane, stream)
        }
        guard let holder = control.holders[boot], holder.mayAsk(onHello: stream, epoch: control.epoch) else { return }
        if let known = control.slices.values.first(where: { $0.ask == ask.id && $0.boot == boot.boot && $0.dataPlane == boot.dataPlane }) {
            return reply(.granted(known, ask: ask.id), to: plane, stream)
        }
        guard control.awaited.isEmpty else { return reply(.refused(ask, .recovering), to: plane, stream) }
        makeAccount(ask.account)
        guard var account = control.accounts[ask.account] else { return }
        do throws(LeaseRefusal) {
            let slice = try account.grant(
                ask, as: SliceID.random(using: &random), to: holder, holders: planes.count, epoch: control.epoch,
                periodEnd: start + Self.period, nowMilliseconds: now)
            control.accounts[ask.account] = account
            control.slices[slice.id] = slice
            reply(.granted(slice, ask: ask.id), to: plane, stream)
        } catch {
            if error == .held {
                for other in planes where other !== plane {
                    if let stream = other.connection { reply(.recall(ask.account), to: other, stream) }
                }
            }
            reply(.refused(ask, error), to: plane, stream)
        }
    }
}
