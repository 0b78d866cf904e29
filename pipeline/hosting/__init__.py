"""Where recordings wait and memos live: S3, object names, the CDN URL and its check."""
