//! The grammar of the training text: tells its stories, and recognises stories and beginnings of stories.
//!
//! Follows the description in `training/story_model/README.md`; shares nothing with the scripts there but the file.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..n`: the high half of the next word, scaled.
    fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
}

/// A piece of an alternative.
#[derive(Debug)]
enum Item {
    Text(Rc<str>),
    Rule(usize),
    Slot { slot: usize, field: usize, capital: bool },
}

struct Slot {
    /// The texts of each row.
    rows: Vec<Vec<Rc<str>>>,
    unlike: Vec<usize>,
}

/// The rows that slots hold, by slot.
type Bound = Vec<Option<u16>>;

pub struct Grammar {
    slots: Vec<Slot>,
    rules: Vec<Vec<Vec<Item>>>,
    start: usize,
    pub seed: u64,
    pub stories: usize,
}

/// Positions of names.
type Index<'a> = BTreeMap<&'a str, usize>;

fn index(object: &Value) -> Index<'_> {
    // In the order of names, whichever order the reader of JSON keeps.
    let names: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.into_iter().enumerate().map(|(i, name)| (name, i)).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
}

impl Grammar {
    pub fn read(json: &str) -> Self {
        let file: Value = serde_json::from_str(json).unwrap();
        assert_eq!(file["format"], 1);
        let (slots, rules) = (index(&file["slots"]), index(&file["rules"]));
        let read = Reader { file: &file, slots: &slots, rules: &rules };
        Self {
            slots: slots.keys().map(|name| read.slot(name)).collect(),
            rules: rules.keys().map(|name| read.rule(name)).collect(),
            start: rules[file["start"].as_str().unwrap()],
            seed: file["corpus"]["seed"].as_u64().unwrap(),
            stories: file["corpus"]["stories"].as_u64().unwrap() as usize,
        }
    }

    fn unbound(&self) -> Bound {
        vec![None; self.slots.len()]
    }

    /// Rows that an unbound slot may take.
    fn free_rows(&self, slot: usize, bound: &Bound) -> Vec<u16> {
        let Slot { rows, unlike } = &self.slots[slot];
        let free = |row: &u16| unlike.iter().all(|&other| bound[other] != Some(*row));
        (0..rows.len() as u16).filter(free).collect()
    }

    fn value(&self, slot: usize, row: u16, field: usize, capital: bool) -> Rc<str> {
        let text = &self.slots[slot].rows[usize::from(row)][field];
        let Some(first) = text.chars().next().filter(|_| capital) else { return Rc::clone(text) };
        (first.to_uppercase().collect::<String>() + &text[first.len_utf8()..]).into()
    }

    /// The training text, one story at a time.
    pub fn training_text(&self) -> impl Iterator<Item = String> {
        let mut random = SplitMix64(self.seed);
        (0..self.stories).map(move |_| self.tell(&mut random))
    }

    pub fn tell(&self, random: &mut SplitMix64) -> String {
        let mut story = String::new();
        self.expand(self.start, &mut self.unbound(), random, &mut story);
        story
    }

    fn expand(&self, rule: usize, bound: &mut Bound, random: &mut SplitMix64, story: &mut String) {
        let alternatives = &self.rules[rule];
        for item in &alternatives[random.below(alternatives.len())] {
            match *item {
                Item::Text(ref text) => story.push_str(text),
                Item::Rule(inner) => self.expand(inner, bound, random, story),
                Item::Slot { slot, field, capital } => {
                    let row = bound[slot].unwrap_or_else(|| {
                        let free = self.free_rows(slot, bound);
                        free[random.below(free.len())]
                    });
                    bound[slot] = Some(row);
                    story.push_str(&self.value(slot, row, field, capital));
                }
            }
        }
    }
}

/// Reads the parts of the file.
struct Reader<'a> {
    file: &'a Value,
    slots: &'a Index<'a>,
    rules: &'a Index<'a>,
}

impl Reader<'_> {
    fn table(&self, slot: &str) -> &Value {
        &self.file["tables"][self.file["slots"][slot]["table"].as_str().unwrap()]
    }

    fn slot(&self, name: &str) -> Slot {
        let rows = self.table(name)["rows"].as_array().unwrap();
        let rows = rows.iter().map(|row| texts(row).into_iter().map(Rc::from).collect()).collect();
        let unlike = &self.file["slots"][name]["unlike"];
        let unlike = if unlike.is_null() { Vec::new() } else { texts(unlike) };
        Slot { rows, unlike: unlike.into_iter().map(|other| self.slots[other]).collect() }
    }

    fn rule(&self, name: &str) -> Vec<Vec<Item>> {
        texts(&self.file["rules"][name]).into_iter().map(|text| self.alternative(text)).collect()
    }

    fn alternative(&self, mut text: &str) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some(first) = text.chars().next() {
            let (item, end) = match first {
                '<' => {
                    let end = text.find('>').unwrap();
                    (Item::Rule(self.rules[&text[1..end]]), end + 1)
                }
                '{' => {
                    let end = text.find('}').unwrap();
                    (self.place(&text[1..end]), end + 1)
                }
                _ => {
                    let end = text.find(['<', '{']).unwrap_or(text.len());
                    (Item::Text(text[..end].into()), end)
                }
            };
            items.push(item);
            text = &text[end..];
        }
        items
    }

    fn place(&self, text: &str) -> Item {
        let (slot, field) = text.split_once('.').unwrap();
        let plain = field.to_lowercase();
        let fields = texts(&self.table(slot)["fields"]);
        let at = fields.iter().position(|f| *f == plain).unwrap();
        Item::Slot { slot: self.slots[slot], field: at, capital: plain != field }
    }
}

/// What a recogniser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A whole story.
    Story,
    /// The beginning of a story.
    Beginning,
    /// Neither; so many bytes were still right.
    Neither(usize),
}

/// What is still to come of an alternative, and after it.
#[derive(PartialEq, Eq, Hash)]
struct Frame {
    /// Rule, alternative, item.
    at: (usize, usize, usize),
    then: Option<Rc<Frame>>,
}

/// A derivation that fits so far and waits at a character of `text`.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Thread {
    text: Rc<str>,
    read: usize,
    then: Option<Rc<Frame>>,
    bound: Rc<Bound>,
}

impl Grammar {
    /// Follows all derivations at once; equal ones are kept once.
    pub fn recognise(&self, text: &str) -> Verdict {
        let start: Vec<_> = (0..self.rules[self.start].len())
            .map(|i| (Some(Rc::new(Frame { at: (self.start, i, 0), then: None })), Rc::new(self.unbound())))
            .collect();
        let (mut threads, mut ended) = self.ready(start);
        for (position, byte) in text.bytes().enumerate() {
            threads.retain(|t| t.text.as_bytes()[t.read] == byte);
            if threads.is_empty() {
                return Verdict::Neither(position);
            }
            threads.iter_mut().for_each(|t| t.read += 1);
            let (waiting, over): (Vec<_>, Vec<_>) = threads.into_iter().partition(|t| t.read < t.text.len());
            let more = self.ready(over.into_iter().map(|t| (t.then, t.bound)).collect());
            threads = waiting;
            threads.extend(more.0);
            ended = more.1;
        }
        if ended { Verdict::Story } else { Verdict::Beginning }
    }

    /// Expands rules and slots until every thread waits at a character; also, whether one has come to the end.
    fn ready(&self, mut todo: Vec<(Option<Rc<Frame>>, Rc<Bound>)>) -> (Vec<Thread>, bool) {
        let (mut waiting, mut ended) = (HashSet::new(), false);
        while let Some((frame, bound)) = todo.pop() {
            let Some(frame) = frame else {
                ended = true;
                continue;
            };
            let (rule, alternative, item) = frame.at;
            let items = &self.rules[rule][alternative];
            let Some(next) = items.get(item) else {
                todo.push((frame.then.clone(), bound));
                continue;
            };
            let then = Some(Rc::new(Frame { at: (rule, alternative, item + 1), then: frame.then.clone() }));
            match *next {
                Item::Text(ref text) => {
                    waiting.insert(Thread { text: Rc::clone(text), read: 0, then, bound });
                }
                Item::Rule(inner) => todo.extend((0..self.rules[inner].len()).map(|i| {
                    (Some(Rc::new(Frame { at: (inner, i, 0), then: then.clone() })), Rc::clone(&bound))
                })),
                Item::Slot { slot, field, capital } => {
                    let rows = bound[slot].map_or_else(|| self.free_rows(slot, &bound), |row| vec![row]);
                    waiting.extend(rows.into_iter().map(|row| {
                        let mut bound = Rc::clone(&bound);
                        Rc::make_mut(&mut bound)[slot] = Some(row);
                        let text = self.value(slot, row, field, capital);
                        assert!(!text.is_empty(), "a field without text");
                        Thread { text, read: 0, then: then.clone(), bound }
                    }));
                }
            }
        }
        (waiting.into_iter().collect(), ended)
    }
}
