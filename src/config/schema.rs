//! JSON Schemas of the scalars that have a shape of their own, and of the whole document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::base::{ByteSize, PciAddress};

use super::scalars::{DeviceSelector, OnOff, OnOffAuto};
use super::spec::{AutoOffSize, AutoSize, MaxPhysAddr, Memlock};

const SIZE: &str = "^[0-9]+(Ki|Mi|Gi|Ti|Pi|Ei|k|K|M|G|T|P|E)?$";

macro_rules! scalar_schema {
    ($($type:ty, $name:literal, $body:tt;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($body)
            }
        }
    )*};
}

scalar_schema! {
    OnOff, "OnOff", { "description": "on or off", "enum": ["on", "off", true, false] };
    OnOffAuto, "OnOffAuto", { "description": "on, off or auto", "enum": ["on", "off", "auto", true, false] };
    DeviceSelector, "DeviceSelector", {
        "description": "KubeVirt name, alias (ua-…, hostdevN), host address (0000:3b:00.0) or ids (10de:2206)",
        "type": "string",
        "pattern": "^([A-Za-z0-9_-]+|[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]|[0-9a-fA-F]{4}:[0-9a-fA-F]{4})$"
    };
    PciAddress, "PciAddress", {
        "description": "dddd:bb:ss.f",
        "type": "string",
        "pattern": "^[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]$"
    };
    ByteSize, "ByteSize", {
        "description": "bytes, with an optional suffix Ki, Mi, Gi, Ti, k, M, G, T",
        "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    AutoSize, "AutoSize", {
        "description": "auto, or a quantity of bytes",
        "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    AutoOffSize, "AutoOffSize", {
        "description": "auto, off, or a quantity of bytes",
        "anyOf": [{ "enum": ["auto", "off", false] }, { "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    Memlock, "Memlock", {
        "description": "unlimited, or a quantity of bytes",
        "anyOf": [{ "const": "unlimited" }, { "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    MaxPhysAddr, "MaxPhysAddr", {
        "description": "passthrough, emulate, or a number of bits to emulate",
        "anyOf": [{ "enum": ["passthrough", "emulate"] }, { "type": "integer", "minimum": 32, "maximum": 64 }]
    };
}
