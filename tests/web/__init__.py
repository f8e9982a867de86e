"""The pages: by raw HTTP, in a real browser, as files."""
