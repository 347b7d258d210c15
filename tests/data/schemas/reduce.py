"""Makes kubevirt.json, a JSON Schema, out of the TypeScript declarations that were generated from KubeVirt's OpenAPI document.

    npm pack @kubevirt-ui-ext/kubevirt-api@1.7.0 && tar -xzf kubevirt-ui-ext-kubevirt-api-1.7.0.tgz
    python3 reduce.py package/dist/kubevirt/index.d.ts >kubevirt.json

Names, types, what is required and the words of enumerations are kept; descriptions are not. Only what a VirtualMachine or KubeVirt
reaches is, except for `status` and what has nothing to do with us (DROPPED: anything is valid there).
"""

import json
import re
import sys

ROOTS = ["V1VirtualMachine", "V1KubeVirt"]
DROPPED = re.compile("Affinity|Probe|Status$|DataVolume|CustomizeComponents|Toleration|TopologySpread|ManagedFields|CertificateRotat")

text = re.sub(r"/\*.*?\*/", "", open(sys.argv[1]).read(), flags=re.S)
interfaces = {name: body for name, body in re.findall(r"^(?:declare |export )?interface (\w+) \{\n(.*?)^\}", text, re.S | re.M)}
enumerations = {
    name: re.findall(r'readonly \w+: "([^"]*)"', body)
    for name, body in re.findall(r"^(?:declare |export )?const (\w+): \{\n(.*?)^\}", text, re.S | re.M)
}
definitions = {}


def schema(kind):
    kind = kind.strip()
    if kind in ("string", "number", "boolean"):
        return {"type": kind}
    if kind == "Date":
        return {"type": "string"}
    if found := re.fullmatch(r"Array<(.*)>", kind, re.S):
        return {"type": "array", "items": schema(found[1])}
    if found := re.fullmatch(r"\{\s*\[key: string\]: (.*?);?\s*\}", kind, re.S):
        return {"type": "object", "additionalProperties": schema(found[1])}
    if words := enumerations.get(kind):
        return {"enum": words}
    if kind in interfaces and not DROPPED.search(kind):
        define(kind)
        return {"$ref": f"#/$defs/{kind}"}
    return {}


def define(name):
    if name in definitions:
        return
    definitions[name] = {}
    properties, required = {}, []
    for field, optional, kind in re.findall(r"^    (?:readonly )?'?([\w-]+)'?(\??): ((?:\{.*?\n    \}|[^\n]*?));$", interfaces[name], re.S | re.M):
        # Words that TypeScript reserves have been given an underscore.
        field = field.removeprefix("_")
        properties[field] = schema(kind)
        if not optional:
            required.append(field)
    # Without fields it is a type of its own, such as IntOrString.
    if properties:
        definitions[name] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            definitions[name]["required"] = required


for root in ROOTS:
    define(root)
# One definition per line.
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one, separators=(',', ':'))}" for name, one in sorted(definitions.items()))
print('{"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {\n' + lines + "\n}}")
