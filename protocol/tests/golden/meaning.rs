//! Messages as JSON, by reflection over the schema: field names of the `.proto`, 64-bit numbers as decimal
//! strings, bytes as hex, enums as numbers, fields at their default left out.

use std::path::Path;

use protox::prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use protox::prost_reflect::{ReflectMessage, Value as Field, prost::Message as _};
use serde_json::{Map, Value, json};

pub struct Schema {
    pool: DescriptorPool,
}

impl Schema {
    pub fn read() -> Self {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
        let files = ["device.proto", "node.proto"].map(|file| proto.join(file));
        let files = protox::compile(files, [&proto]).expect("the schema compiles");
        Self { pool: DescriptorPool::from_file_descriptor_set(files).expect("the schema is whole") }
    }

    /// Names of the fields of a message.
    pub fn fields(&self, kind: &str) -> Vec<String> {
        self.kind(kind).fields().map(|f| f.name().to_string()).collect()
    }

    pub fn decode(&self, kind: &str, bytes: &[u8]) -> Value {
        message_to_json(&DynamicMessage::decode(self.kind(kind), bytes).unwrap())
    }

    pub fn encode(&self, kind: &str, value: &Value) -> Vec<u8> {
        message_from_json(self.kind(kind), value).encode_to_vec()
    }

    fn kind(&self, kind: &str) -> MessageDescriptor {
        self.pool.get_message_by_name(kind).expect("the schema has this message")
    }
}

fn message_to_json(message: &DynamicMessage) -> Value {
    let fields = message.fields().map(|(field, value)| (field.name().to_string(), field_to_json(value)));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn field_to_json(value: &Field) -> Value {
    match value {
        Field::Bool(v) => json!(v),
        Field::U32(v) => json!(v),
        Field::U64(v) => json!(v.to_string()),
        Field::I64(v) => json!(v.to_string()),
        Field::EnumNumber(v) => json!(v),
        Field::String(v) => json!(v),
        Field::Bytes(v) => json!(hex::encode(v)),
        Field::Message(v) => message_to_json(v),
        Field::List(v) => v.iter().map(field_to_json).collect(),
        other => panic!("the schema does not use {other:?}"),
    }
}

fn message_from_json(kind: MessageDescriptor, value: &Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind);
    for (name, value) in value.as_object().unwrap() {
        let field = message.descriptor().get_field_by_name(name).expect("the schema has this field");
        message.set_field(&field, field_from_json(&field, value));
    }
    message
}

fn field_from_json(field: &FieldDescriptor, value: &Value) -> Field {
    if let (true, Value::Array(values)) = (field.is_list(), value) {
        return Field::List(values.iter().map(|v| one_from_json(field.kind(), v)).collect());
    }
    one_from_json(field.kind(), value)
}

fn one_from_json(kind: Kind, value: &Value) -> Field {
    let text = value.as_str().unwrap_or_default();
    match kind {
        Kind::Bool => Field::Bool(value.as_bool().unwrap()),
        Kind::Uint32 => Field::U32(value.as_u64().unwrap().try_into().unwrap()),
        Kind::Uint64 | Kind::Fixed64 => Field::U64(text.parse().unwrap()),
        Kind::Int64 => Field::I64(text.parse().unwrap()),
        Kind::Enum(_) => Field::EnumNumber(value.as_i64().unwrap().try_into().unwrap()),
        Kind::String => Field::String(text.to_string()),
        Kind::Bytes => Field::Bytes(hex::decode(text).unwrap().into()),
        Kind::Message(kind) => Field::Message(message_from_json(kind, value)),
        other => panic!("the schema does not use {other:?}"),
    }
}
