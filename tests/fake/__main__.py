"""`python -m tests.fake --port N`: the fake as a program, for the demo and the bench. Stops on SIGINT or SIGTERM."""

import argparse
import json
import signal

from tests.fake import FakeProvider


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fake", description="Play the providers on loopback.")
    parser.add_argument("--port", type=int, default=0)
    fake = FakeProvider(parser.parse_args().port).start()
    print(f"UPSTREAM_OVERRIDES={json.dumps(fake.overrides())}", flush=True)
    print(f"A key that works with OpenAI: {fake.key('openai')}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    fake.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
