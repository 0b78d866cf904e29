"""What S3 and SQS refuse for now, and what somebody must mend."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import Misuse, PartUnreachable
from pipeline.hosting.aws import translated

PASSES = (
    "SlowDown",
    "RequestTimeTooSkewed",
    "BadDigest",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "KMS.ThrottlingException",
    "KmsThrottled",
    "OverLimit",
    "TokenRefreshRequired",
)
STAYS = ("AccessDenied", "InvalidBucketName", "NoSuchBucket", "KMS.DisabledException")


@pytest.mark.parametrize(("codes", "kind"), [(PASSES, PartUnreachable), (STAYS, Misuse)])
def test_a_4xx_that_passes_is_an_outage(codes: tuple[str, ...], kind: type[Exception]) -> None:
    """It is tried again as a 5xx is; what stays is told to a person."""
    for code in codes:
        answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        with pytest.raises(kind), translated("Bucket 'b'", None):
            raise ClientError(answer, "PutObject")  # type: ignore[arg-type]
