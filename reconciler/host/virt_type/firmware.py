"""The program that the probe runs on a virtual CPU; `firmware.S` is its source."""

INSTRUCTIONS = 102_000_000
"""The program's countdown, in instructions, a third of them in each mode."""

MODES = {"r": "real", "p": "protected", "l": "long"}
"""The letters printed on the debug console when the program has finished each mode, in order."""

DEBUG_CONSOLE_PORT = 0xE9
EXIT_PORT = 0xF4
EXIT_CODE = 0x2A << 1 | 1  # hw/misc/debugexit.c

CODE = bytes.fromhex(
    "fa66b940660301664975fcb072e6e92e660f0116d0000f20c00c010f22c066ea"
    "26000f00080066b810008ed88ec08ed0b9406603014975fdb070e6e9bf001000"
    "0031c0b9000c0000fcf3abc7050010000003200000c7050020000003300000c7"
    "0500300000830000000f20e083c8200f22e0b8001000000f22d8b9800000c00f"
    "320d000100000f300f20c00d000000800f22c0ea9a000f001800b940660301ff"
    "c975fcb06ce6e9b02ae6f4f4ebfd66900000000000000000ffff0000009bcf00"
    "ffff00000093cf0000000000009b20001f00b0000f00"
)

_BYTES = 1 << 16
_RESET_VECTOR = 0xFFF0
_JUMP_BYTES = 3


def firmware() -> bytes:
    """64 KiB with the program at the start, and a jump to it at the reset vector."""
    jump = b"\xe9" + (-_RESET_VECTOR - _JUMP_BYTES & 0xFFFF).to_bytes(2, "little")
    return (CODE.ljust(_RESET_VECTOR, b"\0") + jump).ljust(_BYTES, b"\0")
