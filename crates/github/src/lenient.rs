//! Lenient reading of GitHub's lists: an unreadable element does not fail its list, and an unneeded field does not fail
//! its element.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// A list, read element by element.
#[derive(Debug)]
pub(crate) struct Elements<T> {
    /// Elements that can be read.
    pub(crate) read: Vec<T>,
    /// The numeric `id` of each other element, if at least that can be read.
    pub(crate) unreadable: Vec<Option<i64>>,
}

#[derive(Deserialize)]
struct Identity {
    id: i64,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Elements<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Self { read: Vec::new(), unreadable: Vec::new() };
        for raw in Vec::<Box<RawValue>>::deserialize(deserializer)? {
            if let Ok(element) = serde_json::from_str(raw.get()) {
                elements.read.push(element);
                continue;
            }
            let identity = serde_json::from_str::<Identity>(raw.get()).ok();
            elements.unreadable.push(identity.map(|identity| identity.id));
        }
        Ok(elements)
    }
}

impl<T> Elements<T> {
    /// Returns the elements that can be read, and logs that there were others.
    pub(crate) fn readable(self, operation: &'static str) -> Vec<T> {
        if !self.unreadable.is_empty() {
            let (skipped, first) = (self.unreadable.len(), self.unreadable.first().copied().flatten());
            tracing::warn!(
                operation,
                skipped,
                first,
                "Skipped elements of GitHub's response that cannot be read"
            );
        }
        self.read
    }
}

/// Reads an unneeded field: any unexpected value counts as `None`.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// Reads an unneeded field: any unexpected value counts as the type's default.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    optional(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Thing {
        id: i64,
        name: String,
        #[serde(default, deserialize_with = "or_default")]
        note: String,
    }

    #[test]
    fn one_odd_element_does_not_fail_the_list() {
        let text = r#"[{"id":1,"name":"a","note":"n"},{"id":2},null,{"id":3,"name":7},{"id":1e999,"name":"x"},"x",
            {"id":4,"name":"\ud800"},{"id":5,"name":"b","note":{"odd":[1]}},{"name":"c"}]"#;
        let things: Elements<Thing> = serde_json::from_str(text).unwrap();
        let ids: Vec<i64> = things.read.iter().map(|thing| thing.id).collect();
        assert_eq!(ids, [1, 5]);
        assert_eq!((things.read[0].note.as_str(), things.read[1].note.as_str()), ("n", ""));
        assert_eq!(things.unreadable, [Some(2), None, Some(3), None, None, Some(4), None]);
    }
}
