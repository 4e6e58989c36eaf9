//! YAML as JSON values with the place of every value.

use std::{collections::HashMap, fmt};

use domain::{Json, escape_pointer};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

/// Deepest nesting of a document. A teams file has five levels.
const MAX_DEPTH: usize = 32;

/// A place in a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// A fault in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlFault {
    pub(crate) place: Place,
    pub(crate) detail: String,
}

/// One YAML document.
#[derive(Clone, Debug)]
pub(crate) struct YamlDocument {
    /// The document as JSON.
    pub(crate) json: Json,
    /// Place of every value, by JSON pointer.
    places: HashMap<String, Place>,
}

impl YamlDocument {
    /// Returns the place of a value, or of the nearest value around it that the document has.
    pub(crate) fn place(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rsplit_once('/') {
                Some((around, _)) => pointer = around,
                None => return Place { line: 1, column: 1 },
            }
        }
    }
}

/// Reads all documents of a YAML text.
///
/// # Errors
/// The first fault, with its place.
pub(crate) fn read_yaml(text: &str) -> Result<Vec<YamlDocument>, YamlFault> {
    let nodes: Vec<Spanned<Node>> = serde_saphyr::from_multiple(text).map_err(|error| {
        let place = error.location().map_or(Place { line: 1, column: 1 }, Place::from);
        YamlFault { place, detail: describe(&error.without_snippet().to_string()) }
    })?;
    nodes.into_iter().map(document).collect()
}

/// Returns a value as YAML.
pub(crate) fn write_yaml(value: &impl Serialize) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

/// Returns the fault without its place, which is printed before it, and without advice to programmers.
fn describe(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or_default().to_owned()
}

fn document(node: Spanned<Node>) -> Result<YamlDocument, YamlFault> {
    let mut places = HashMap::new();
    let json = collect(node, String::new(), 0, &mut places)?;
    Ok(YamlDocument { json, places })
}

fn collect(
    node: Spanned<Node>,
    pointer: String,
    depth: usize,
    places: &mut HashMap<String, Place>,
) -> Result<Json, YamlFault> {
    let place = Place::from(node.referenced);
    if depth > MAX_DEPTH {
        return Err(YamlFault { place, detail: "nested too deeply".to_owned() });
    }
    let json = match node.value {
        Node::Scalar(json) => json,
        Node::List(items) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(at, item)| collect(item, format!("{pointer}/{at}"), depth + 1, places));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        Node::Map(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let pointer = format!("{pointer}/{}", escape_pointer(&name.value));
                let key = Place::from(name.referenced);
                let value = collect(value, pointer.clone(), depth + 1, places)?;
                places.insert(pointer, key);
                Ok((name.value, value))
            });
            Json::Object(fields.collect::<Result<_, YamlFault>>()?)
        }
    };
    places.insert(pointer, place);
    Ok(json)
}

/// A YAML value.
#[derive(Debug)]
enum Node {
    Scalar(Json),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Number(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Text(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Scalar(Json::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element()? {
            read.push(item);
        }
        Ok(Node::List(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut read = Vec::new();
        while let Some(field) = fields.next_entry()? {
            read.push(field);
        }
        Ok(Node::Map(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\nteams:\n  - name: web\n    max_runners: 3\n    optional_label_patterns:\n      - '*'\n      - gpu-(a\n";

    fn at(line: u64, column: u64) -> Place {
        Place { line, column }
    }

    #[test]
    fn every_value_has_its_place() {
        let document = read_yaml(TEXT).unwrap().remove(0);
        assert_eq!(document.place("/teams/0/optional_label_patterns/1"), at(7, 9));
        assert_eq!(document.place("/teams/0/max_runners"), at(4, 5), "the place of its name");
        assert_eq!(document.place("/teams/0/none/1"), at(3, 5), "the nearest value around it");
        let Json::Object(fields) = &document.json else { panic!() };
        assert_eq!(fields[0].0, "teams");
    }

    #[test]
    fn fault_has_its_place() {
        for (text, line) in
            [("teams:\n  - name: web\n   bad: [\n", 3), ("a: 1\na: 2\n", 2), ("a: *none\n", 1)]
        {
            let fault = read_yaml(text).unwrap_err();
            assert_eq!(fault.place.line, line, "{text:?} {fault:?}");
            assert!(!fault.detail.is_empty() && !fault.detail.contains(" line "), "{fault:?}");
        }
        assert_eq!(read_yaml("a: 1\na: 2\n").unwrap_err().detail, "duplicate mapping key: a");
    }

    #[test]
    fn hostile_document_has_bounds() {
        let deep = "[".repeat(10_000);
        assert!(read_yaml(&deep).is_err());
        let bomb = format!(
            "a: &a [{}]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f]\n",
            ["x"; 100].join(",")
        );
        assert!(read_yaml(&bomb).is_err());
    }
}
