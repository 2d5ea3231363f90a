import SwiftProtobuf
import GRPCCore
import GRPCProtobuf
