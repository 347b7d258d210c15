"""Reads {"schema": …, "documents": [{"name", "document"}, …]} and prints what is not valid, a line each."""

import json
import sys

import jsonschema

given = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(given["schema"])
validator = jsonschema.Draft202012Validator(given["schema"])
for one in given["documents"]:
    for error in validator.iter_errors(one["document"]):
        print(f'{one["name"]}: {error.json_path}: {error.message}')
