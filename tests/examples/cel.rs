//! CEL in manifests, read by a CEL parser: conditions are run, and the object that a policy applies is taken apart.

use ::cel::common::ast::{EntryExpr, Expr, LiteralValue, StructExpr};
use ::cel::{Context, Program, Value as CelValue};
use serde_json::{Map, Value};

/// What a condition says to variables of these names.
pub(crate) fn holds(condition: &str, variables: &[(&str, &Value)]) -> Result<bool, String> {
    let program = Program::compile(condition).map_err(|errors| errors.to_string())?;
    let mut context = Context::default();
    for (name, value) in variables {
        context.add_variable(*name, value).unwrap();
    }
    match program.execute(&context) {
        Ok(CelValue::Bool(answer)) => Ok(answer),
        other => Err(format!("{other:?}")),
    }
}

/// The object that an expression of an ApplyConfiguration makes. Each part must bear the name of its place, as
/// `Object.spec.initContainers` does: an API server checks that against the type of the object.
pub(crate) fn applied(expression: &str) -> Result<Value, String> {
    let program = Program::compile(expression).map_err(|errors| errors.to_string())?;
    value(&program.expression().expr, "Object")
}

fn value(expression: &Expr, place: &str) -> Result<Value, String> {
    match expression {
        Expr::Struct(object) => of_struct(object, place),
        Expr::List(list) => list.elements.iter().map(|element| value(&element.expr, place)).collect(),
        Expr::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => match &entry.key.expr {
                    Expr::Literal(LiteralValue::String(key)) => {
                        Ok((key.inner().to_owned(), value(&entry.value.expr, place)?))
                    }
                    other => Err(format!("{place}: {other:?} is no key")),
                },
                other => Err(format!("{place}: {other:?}")),
            });
            entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Expr::Literal(LiteralValue::Boolean(literal)) => Ok((*literal.inner()).into()),
        Expr::Literal(LiteralValue::Int(literal)) => Ok((*literal.inner()).into()),
        Expr::Literal(LiteralValue::String(literal)) => Ok(literal.inner().into()),
        other => Err(format!("{place}: {other:?} is not known here")),
    }
}

fn of_struct(object: &StructExpr, place: &str) -> Result<Value, String> {
    if object.type_name != place {
        return Err(format!("{place} is called {}", object.type_name));
    }
    let fields = object.entries.iter().map(|entry| match &entry.expr {
        EntryExpr::StructField(field) => {
            Ok((field.field.clone(), value(&field.value.expr, &format!("{place}.{}", field.field))?))
        }
        other => Err(format!("{place}: {other:?}")),
    });
    fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

#[test]
fn expressions_are_really_read() {
    for wrong in ["Object{spec: Object.spec{}", "Object{spec: Object.specs{}}", "Object{spec: object}", "Object{spec}"]
    {
        assert!(applied(wrong).is_err(), "{wrong}");
    }
    let applied = applied("Object{spec: Object.spec{a: [Object.spec.a{b: true, c: {\"d\": 1}}]}}").unwrap();
    assert_eq!(applied, serde_json::json!({"spec": {"a": [{"b": true, "c": {"d": 1}}]}}));
    let labels = serde_json::json!({ "Labels": { "a": "" } });
    assert_eq!(holds("\"a\" in vmi.Labels", &[("vmi", &labels)]), Ok(true));
    assert!(holds("\"a\" in vmi.labels", &[("vmi", &labels)]).is_err());
    assert!(holds("\"a\" in", &[("vmi", &labels)]).is_err());
}
