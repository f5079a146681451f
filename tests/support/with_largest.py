"""`txnwatch` with a detector more: `python -m tests.support.with_largest worker`."""

from infra.cli import main
from stream_app.detectors import DETECTORS

LARGEST = {"largest": "tests.support.largest:Largest"}

if __name__ == "__main__":
    DETECTORS.update(LARGEST)
    main()
