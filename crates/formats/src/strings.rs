//! Many strings in one allocation: a vocabulary of 128k tokens costs its text and four bytes per token.

/// A list of strings, stored end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringTable {
    text: String,
    ends: Vec<u32>,
}

impl StringTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty table with room for `strings` strings of `bytes` bytes altogether.
    pub fn with_capacity(strings: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(strings) }
    }

    /// Appends a string; `false`, and nothing is stored, where the table's text would pass 4 GiB.
    #[must_use]
    pub fn push(&mut self, string: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + string.len()) else { return false };
        self.text.push_str(string);
        self.ends.push(end);
        true
    }

    /// The string at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }

    /// The number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The strings in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let string = &self.text[start..end as usize];
            start = end as usize;
            string
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order() {
        let mut table = StringTable::new();
        let strings = ["", "a", "▁the", "", "é"];
        for string in strings {
            assert!(table.push(string));
        }
        assert_eq!(table.iter().collect::<Vec<_>>(), strings);
        let by_index: Vec<_> = (0..5).map(|i| table.get(i).unwrap()).collect();
        assert_eq!(by_index, strings);
        assert_eq!((table.len(), table.get(5)), (5, None));
    }
}
