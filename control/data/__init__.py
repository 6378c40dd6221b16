"""`kennel data push` and `kennel data check`: pictures on their way into S3, and what is wrong with them."""
