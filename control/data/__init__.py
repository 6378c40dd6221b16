"""`kennel data push` and `kennel data check`: pictures into S3, and what is wrong with them."""
