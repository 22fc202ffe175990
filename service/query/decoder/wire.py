"""What the service, the parent of the lanes and the lanes say to each other, over sockets of this machine."""

import struct

#: From a lane when it starts: its process.
HELLO = struct.Struct("!i")
#: To a lane, before a picture's file: the side of the pixels and the length of the file.
REQUEST = struct.Struct("!II")
#: From a lane, before pixels or a message: what became of the picture, the CPU seconds that the lane has used
#: in all, and the length of what follows.
REPLY = struct.Struct("!cdI")
OK, DAMAGED, MEMORY = b"o", b"d", b"m"
#: To the parent: a lane is wanted, whose socket comes along; or the lane of this process is to be killed.
COMMAND = struct.Struct("!ci")
FORK, KILL = b"f", b"k"
#: From the parent, of a killed lane: its wait status and the CPU seconds that it used.
ENDED = struct.Struct("!id")
