"""What a course reviewer asks for, written from the jobs that really ran."""
