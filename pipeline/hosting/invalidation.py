"""Letting CloudFront forget: the one file that speaks to it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import Misuse, PartUnreachable
from pipeline.hosting.aws import S3Config, make_client

_NOT_NOW = frozenset({"TooManyInvalidationsInProgress", "Throttling", "ThrottlingException", "RequestLimitExceeded"})


class Invalidation:
    """Invalidates objects of one distribution. endpoint_url: another than AWS's."""

    def __init__(self, config: S3Config, distribution_id: str, endpoint_url: str | None) -> None:
        self._config = config
        self._distribution_id = distribution_id
        self._endpoint_url = endpoint_url

    def __call__(self, keys: Sequence[str], reference: str) -> None:
        """Let the CDN forget these objects, within minutes. The same keys and reference again are the same request.

        Raises PartUnreachable (`cdn-unreachable`), Misuse (`cdn-refused`)."""
        paths = [f"/{key}" for key in sorted(keys)]
        once = f"{reference}-{hashlib.sha256(chr(10).join(paths).encode()).hexdigest()[:16]}"
        try:
            make_client(self._config, "cloudfront", self._endpoint_url).create_invalidation(
                DistributionId=self._distribution_id,
                InvalidationBatch={"Paths": {"Quantity": len(paths), "Items": paths}, "CallerReference": once},
            )
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if status >= 500 or code in _NOT_NOW:
                raise PartUnreachable("cdn-unreachable", f"CloudFront answers {code}: try again.") from None
            text = f"CloudFront refuses to forget ({code}): check MEMOLINE_CDN_DISTRIBUTION_ID and the credentials."
            raise Misuse("cdn-refused", text, reason=code) from None
        except BotoCoreError as error:
            text = f"CloudFront cannot be reached ({type(error).__name__}): try again."
            raise PartUnreachable("cdn-unreachable", text) from None
