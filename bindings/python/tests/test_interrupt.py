"""Ctrl-C and the end of the program while the native half works. Each case is a process of its own, which raises the signal itself once
it is inside."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The thread waits until the main thread is within the call that is watched for, and then presses Ctrl-C.
PRELUDE = """
import os, signal, sys, threading
import torchless

def press_when_in(name):
    main = threading.main_thread().ident
    def press():
        while sys._current_frames()[main].f_code.co_name != name:
            pass
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=press, daemon=True).start()

def interrupted(work):
    try:
        work()
    except KeyboardInterrupt:
        print("heard", flush=True)
        os._exit(0)
    os._exit(9)

model = torchless.Model.open(threads=1, context_size=20000)
endless = {"max_tokens": 15000, "logit_bias": {model.eos_token: -100}}
"""

CASES = {
    "generate": 'press_when_in("_make_all"); interrupted(lambda: model.generate("Once", **endless))',
    "many": 'press_when_in("_make_all"); interrupted(lambda: model.generate_many(["Once"] * 50, **endless))',
    "stream": 'press_when_in("_next_event"); interrupted(lambda: list(model.stream("Once", **endless)))',
    "scan": """
class Deaf(torchless.Scanner):
    async def scan(self, message, past_trace=None):
        threading.Event().wait()

firewall = torchless.Firewall({torchless.Role.USER: [Deaf("deaf")]}, time_limit=600)
press_when_in("_scan"); interrupted(lambda: firewall.scan(torchless.UserMessage("hi")))
""",
    "coroutine": """
import asyncio

async def read():
    async for _ in model.stream("Once", **endless):
        os.kill(os.getpid(), signal.SIGINT)

interrupted(lambda: asyncio.run(read()))
""",
    "scan for a coroutine": """
import asyncio, tempfile

class Pressing(torchless.Scanner):
    async def scan(self, message, past_trace=None):
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait()

firewall = torchless.Firewall({torchless.Role.USER: [Pressing("pressing")]}, time_limit=600, audit_log=tempfile.mkdtemp() + "/audit.jsonl")
interrupted(lambda: asyncio.run(firewall.scan_async(torchless.UserMessage("hi"))))
""",
}

# A scanner and a judge that never come to an end, and never wait either.
BUSY = """
import asyncio, itertools, os, signal, sys, tempfile, threading
import torchless
from torchless import Role, ScannerType, UserMessage

class Busy(torchless.Scanner):
    async def scan(self, message, past_trace=None):
        sum(1 for _ in itertools.repeat(0))

def judge(*_):
    sum(1 for _ in itertools.repeat(0))

def firewall(**options):
    return torchless.Firewall({Role.USER: [Busy("busy"), ScannerType.PII_DETECTION]}, judge=judge, **options)
"""

ENDS = {
    "late": ('print(firewall(time_limit=0.1).scan(UserMessage("x")).status.name)', 0),
    "for a coroutine": (
        """
one = firewall(time_limit=0.1, audit_log=tempfile.mkdtemp() + "/audit.jsonl")
print(asyncio.run(one.scan_async(UserMessage("x"))).status.name)
""",
        0,
    ),
    "behind a model": (
        """
try:
    torchless.Model.open(threads=1, firewall=firewall(time_limit=0.1)).generate("x")
except torchless.RefusedError:
    print("ERROR")
""",
        0,
    ),
    "interrupted": (
        """
print("ERROR", flush=True)
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
firewall().scan(UserMessage("x"))
""",
        -signal.SIGINT,
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_is_heard(case: str) -> None:
    done = subprocess.run([sys.executable, "-c", PRELUDE + CASES[case]], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("case", ENDS)
def test_a_program_ends_by_itself_while_a_scanner_works(case: str) -> None:
    code, status = ENDS[case]
    done = subprocess.run([sys.executable, "-c", BUSY + code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (status, "ERROR\n"), done.stderr
