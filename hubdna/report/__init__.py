"""Reports: `text` for people (rich), `json` for programs (first key `schema`). Pure: records in, text out.

Of audits also `markdown` for a comment, `csv` for a sheet, `sarif` for code scanning, `cyclonedx` for a bill of
materials.
"""
