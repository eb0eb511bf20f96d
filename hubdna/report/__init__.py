"""Reports: `text` for people (rich), `json` for programs (first key `schema`). Pure: records in, text out."""
