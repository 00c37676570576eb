//! Stop strings in a stream: holds back only what may still become one.

/// Watches a stream of text for any of several strings.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Text that can no longer be part of a stop string.
    Text(String),
    /// The text before a stop string, which has now been seen whole.
    Stopped(String),
}

impl StopStrings {
    /// Empty strings stop nothing and are dropped.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|s| !s.is_empty()).collect(), held: String::new() }
    }

    /// Takes the next piece. Of several stop strings the one that begins first counts.
    pub fn push(&mut self, piece: &str) -> Watched {
        self.held.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|s| self.held.find(s.as_str())).min() {
            self.held.truncate(at);
            return Watched::Stopped(std::mem::take(&mut self.held));
        }
        let keep = self.longest_open_end();
        let rest = self.held.split_off(self.held.len() - keep);
        Watched::Text(std::mem::replace(&mut self.held, rest))
    }

    /// What is still held back when the stream ends.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end that are the beginning of a stop string.
    fn longest_open_end(&self) -> usize {
        let open = |stop: &String| {
            let limit = self.held.len().min(stop.len() - 1);
            let fits = |&n: &usize| stop.is_char_boundary(n) && self.held.ends_with(&stop[..n]);
            (1..=limit).rev().find(fits)
        };
        self.stops.iter().filter_map(open).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `step` characters; what comes out, and whether it stopped.
    fn run(stops: &[&str], text: &str, step: usize) -> (String, bool) {
        let mut watch = StopStrings::new(stops.iter().map(|s| (*s).to_owned()));
        let mut out = String::new();
        let chars: Vec<_> = text.chars().collect();
        for piece in chars.chunks(step) {
            match watch.push(&piece.iter().collect::<String>()) {
                Watched::Text(t) => out += &t,
                Watched::Stopped(t) => return (out + &t, true),
            }
        }
        (out + &watch.finish(), false)
    }

    #[test]
    fn every_split_gives_the_same() {
        for step in 1..9 {
            assert_eq!(run(&["END"], "one ENtwo END three", step), ("one ENtwo ".to_owned(), true));
            assert_eq!(run(&["aab"], "aaaab", step), ("aa".to_owned(), true));
            assert_eq!(run(&["\n\n", "ß!"], "a\nb ß ß!", step), ("a\nb ß ".to_owned(), true));
            assert_eq!(run(&["never", ""], "nev", step), ("nev".to_owned(), false));
        }
    }

    #[test]
    fn the_first_of_several_counts() {
        assert_eq!(run(&["two", "one two"], "zero one two", 100), ("zero ".to_owned(), true));
    }
}
