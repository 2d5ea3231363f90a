import NIOPosix
import NIOSSL
import GRDB
import GRPCNIOTransportHTTP2Posix
