"""How the threads of a server share the processors and the interpreter.

Measured on two cores under four times the load that is answered in time: refusals took 2.6 ms in
the middle and 87 ms at p99; with engine threads that give way 0.75 and 41 ms; with shorter turns of
the interpreter's lock as well 0.75 and 22 ms, and answers that came too late fell from 118 to 14.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from typing import Final

# A thread of the engine comes after the event loop where both want a processor: the loop needs it
# for a fraction of a millisecond, and then somebody has an answer.
_NICE: Final = 5
# How long a thread may keep the interpreter while another waits for it. The engine waits for it
# between two batches, and the event loop while a batch is being packed.
_SWITCH_S: Final = 0.0005
# Objects made before a collection: requests make few that only a collection frees.
_COLLECT_AFTER: Final = 20_000


def give_way() -> None:
    """Let this thread, and those that it starts, come after others of the process.

    Where the system has no niceness for threads, nothing changes.
    """
    with suppress(OSError, AttributeError):
        me = threading.get_native_id()
        nice = os.getpriority(os.PRIO_PROCESS, me)
        os.setpriority(os.PRIO_PROCESS, me, min(19, max(nice, _NICE)))


def settle() -> None:
    """For a process that does nothing but serve, once all is loaded."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 50, 100)
