//! Filters of lists, and those that call filters and tests by name.

use super::call::{Bound, CallArgs};
use super::error::{Kind, Result, fail, type_error, value_error};
use super::machine::{Machine, Object};
use super::text::TextBuilder;
use super::value::{Key, SeqKind, Value};
use std::cmp::Ordering;
use std::collections::HashSet;

impl Machine<'_> {
    pub fn list_filter(&mut self, name: &str, value: &Value, args: &mut Bound) -> Result<Option<Value>> {
        Ok(Some(match name {
            "length" | "count" => Value::Int(self.len(value)? as i128),
            "list" => {
                let items = self.iterate(value)?;
                Value::list(items, &mut self.budget)?
            }
            "first" => match self.iterate(value)?.into_iter().next() {
                Some(first) => first,
                None => Value::undefined("No first item, sequence was empty."),
            },
            "last" => match self.reversible(value)?.pop() {
                Some(last) => last,
                None => Value::undefined("No last item, sequence was empty."),
            },
            "reverse" => match value {
                Value::Str(text) => {
                    let mut out = TextBuilder::default();
                    self.budget.bytes(text.len())?;
                    for (at, c) in text.as_str().char_indices().rev() {
                        out.push_slice(text, at..at + c.len_utf8());
                    }
                    Value::Str(out.finish())
                }
                other => {
                    let mut items = self.reversible(other)?;
                    items.reverse();
                    self.stream(items)?
                }
            },
            "join" => self.join(value, args)?,
            "items" => match value {
                Value::Dict(dict) => {
                    let pairs = self.pairs(dict, SeqKind::List)?;
                    let items = self.iterate(&pairs)?;
                    self.stream(items)?
                }
                Value::Undefined(_) => self.stream(Vec::new())?,
                _ => return type_error("Can only get item pairs from a mapping."),
            },
            "attr" => {
                let attribute = args.need("name")?;
                let attribute = self.text(&attribute)?;
                match value {
                    Value::Dict(_) => {
                        Value::undefined(format!("'dict object' has no attribute '{}'", attribute.as_str()))
                    }
                    other => self.attribute(other, attribute.as_str())?,
                }
            }
            "sum" => {
                let attribute = args.next("attribute");
                let mut sum = args.next("start").unwrap_or(Value::Int(0));
                for item in self.iterate(value)? {
                    let item = self.by_attribute(&item, attribute.as_ref())?;
                    sum = self.binary(super::ast::BinaryOp::Add, &sum, &item)?;
                }
                sum
            }
            "sort" | "unique" | "min" | "max" | "groupby" | "dictsort" => self.ordering(name, value, args)?,
            "batch" | "slice" => self.in_groups(name, value, args)?,
            "random" | "urlize" | "xmlattr" | "filesizeformat" | "wordwrap" => {
                return fail(Kind::Runtime, format!("the filter '{name}' is not supported"));
            }
            _ => return Ok(None),
        }))
    }

    /// The items of what has an end to begin from.
    fn reversible(&mut self, value: &Value) -> Result<Vec<Value>> {
        if let Value::Object(id) = value
            && let Object::Stream(_) = self.object(*id)
        {
            return type_error("'generator' object is not reversible");
        }
        self.iterate(value)
    }

    fn join(&mut self, value: &Value, args: &mut Bound) -> Result<Value> {
        let separator = args.next("d").unwrap_or_else(|| Value::str(""));
        let separator = self.text(&separator)?;
        let attribute = args.next("attribute");
        let mut out = TextBuilder::default();
        for (i, item) in self.iterate(value)?.iter().enumerate() {
            if i > 0 {
                self.push_text(&separator, &mut out)?;
            }
            let item = self.by_attribute(item, attribute.as_ref())?;
            self.write(&item, &mut out)?;
        }
        Ok(Value::Str(out.finish()))
    }

    /// The item itself, or what `attribute`, such as `a.b.0`, finds in it.
    fn by_attribute(&mut self, item: &Value, attribute: Option<&Value>) -> Result<Value> {
        let path = match attribute {
            None | Some(Value::None) => return Ok(item.clone()),
            Some(Value::Str(path)) => path.clone(),
            Some(index) => return self.item(item, index),
        };
        let mut value = item.clone();
        for part in path.as_str().split('.') {
            self.budget.step()?;
            let index = part.parse().map_or_else(|_| Value::str(part), Value::Int);
            value = self.item(&value, &index)?;
        }
        Ok(value)
    }

    pub fn map_filter(&mut self, value: &Value, mut args: CallArgs) -> Result<Value> {
        // As in Jinja, what is false has no items, whatever it is.
        let items = if value.is_true() { self.iterate(value)? } else { Vec::new() };
        let mut out = Vec::with_capacity(items.len());
        if args.positional.is_empty() {
            let mut args = args.bind("map");
            let attribute = args.named("attribute");
            let default = args.named("default");
            args.end()?;
            if attribute.is_none() {
                return type_error("map requires a filter argument");
            }
            for item in items {
                let found = self.by_attribute(&item, attribute.as_ref())?;
                out.push(match (&found, &default) {
                    (Value::Undefined(_), Some(default)) => default.clone(),
                    _ => found,
                });
            }
            return self.stream(out);
        }
        let name = args.positional.remove(0);
        let name = self.text(&name)?;
        for item in items {
            let args = CallArgs { positional: args.positional.clone(), named: args.named.clone() };
            out.push(self.filter(name.as_str(), item, args)?);
        }
        self.stream(out)
    }

    pub fn select_filter(&mut self, name: &str, value: &Value, mut args: CallArgs) -> Result<Value> {
        let items = if value.is_true() { self.iterate(value)? } else { Vec::new() };
        let attribute = match name.ends_with("attr") {
            true if args.positional.is_empty() => return type_error("Missing parameter for attribute name"),
            true => Some(args.positional.remove(0)),
            false => None,
        };
        let test = match args.positional.is_empty() {
            true => None,
            false => {
                let test = args.positional.remove(0);
                Some(self.text(&test)?)
            }
        };
        let wanted = name.starts_with("select");
        let mut out = Vec::new();
        for item in items {
            let subject = self.by_attribute(&item, attribute.as_ref())?;
            let holds = match &test {
                None => subject.is_true(),
                Some(test) => {
                    let args = CallArgs { positional: args.positional.clone(), named: args.named.clone() };
                    self.test(test.as_str(), &subject, args)?
                }
            };
            if holds == wanted {
                out.push(item);
            }
        }
        self.stream(out)
    }

    fn ordering(&mut self, name: &str, value: &Value, args: &mut Bound) -> Result<Value> {
        if name == "dictsort" {
            return self.dict_sort(value, args);
        }
        let reverse = name == "sort" && args.flag("reverse", false);
        let mut attribute = if name == "groupby" { args.next("attribute") } else { None };
        let default = if name == "groupby" { args.next("default") } else { None };
        let case_sensitive = args.flag("case_sensitive", false);
        attribute = attribute.or_else(|| args.next("attribute"));
        let mut keyed = Vec::new();
        for item in self.iterate(value)? {
            let mut key = self.sort_key(&item, attribute.as_ref(), case_sensitive)?;
            if let (Value::Undefined(_), Some(default)) = (&key, &default) {
                key = default.clone();
            }
            keyed.push((key, item));
        }
        match name {
            "unique" => {
                let mut seen = HashSet::new();
                let mut out = Vec::new();
                for (key, item) in keyed {
                    if seen.insert(Key::of(&key, &mut self.budget)?) {
                        out.push(item);
                    }
                }
                return self.stream(out);
            }
            "min" | "max" => {
                let mut best: Option<(Value, Value)> = None;
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                for (key, item) in keyed {
                    let better = match &best {
                        None => true,
                        Some((than, _)) => self.order(&key, than)? == Some(wanted),
                    };
                    if better {
                        best = Some((key, item));
                    }
                }
                return Ok(match best {
                    Some((_, item)) => item,
                    None => Value::undefined("No aggregated item, sequence was empty."),
                });
            }
            _ => {}
        }
        // Jinja compares lists of keys, which may be equal also where keys have no order.
        let unordered = name == "sort" && keyed.iter().all(|(key, _)| key.is_undefined());
        let sorted = if unordered { keyed } else { self.sorted(keyed, reverse)? };
        if name == "sort" {
            return Value::list(sorted.into_iter().map(|(_, item)| item).collect(), &mut self.budget);
        }
        self.groups(sorted, attribute.as_ref(), default)
    }

    /// Neighbours whose keys are equal, under the key of the first one as it is spelt there.
    fn groups(
        &mut self,
        sorted: Vec<(Value, Value)>,
        attribute: Option<&Value>,
        default: Option<Value>,
    ) -> Result<Value> {
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for (key, item) in sorted {
            match groups.last_mut() {
                Some((last, items)) if self.equal(last, &key)? => items.push(item),
                _ => groups.push((key, vec![item])),
            }
        }
        let mut out = Vec::new();
        for (_, items) in groups {
            let spelt = self.sort_key(&items[0], attribute, true)?;
            let key = default.clone().filter(|_| spelt.is_undefined()).unwrap_or(spelt);
            let items = Value::list(items, &mut self.budget)?;
            out.push(Value::named_tuple(&["grouper", "list"], vec![key, items], &mut self.budget)?);
        }
        Value::list(out, &mut self.budget)
    }

    fn sort_key(&mut self, item: &Value, attribute: Option<&Value>, case_sensitive: bool) -> Result<Value> {
        let key = match attribute {
            Some(Value::Str(names)) if names.as_str().contains(',') => {
                let mut keys = Vec::new();
                for name in names.as_str().split(',') {
                    let key = self.by_attribute(item, Some(&Value::str(name)))?;
                    keys.push(self.folded(key, case_sensitive)?);
                }
                Value::list(keys, &mut self.budget)?
            }
            attribute => self.by_attribute(item, attribute)?,
        };
        self.folded(key, case_sensitive)
    }

    fn dict_sort(&mut self, value: &Value, args: &mut Bound) -> Result<Value> {
        let case_sensitive = args.flag("case_sensitive", false);
        let by = args.next("by").unwrap_or_else(|| Value::str("key"));
        let reverse = args.flag("reverse", false);
        let Value::Dict(dict) = value else {
            return type_error(format!("dictsort needs a mapping, not '{}'", value.defined()?.type_name()));
        };
        let by_value = match by.as_str() {
            Some("key") => false,
            Some("value") => true,
            _ => return value_error("dictsort: 'by' has to be key or value"),
        };
        let pairs = self.pairs(dict, SeqKind::List)?;
        let pairs = self.iterate(&pairs)?;
        let keys = dict.iter().map(|(key, value)| if by_value { value } else { key }.clone());
        let keys = keys.map(|key| self.folded(key, case_sensitive)).collect::<Result<Vec<_>>>()?;
        let keyed = keys.into_iter().zip(pairs).collect();
        let sorted = self.sorted(keyed, reverse)?;
        Value::list(sorted.into_iter().map(|(_, pair)| pair).collect(), &mut self.budget)
    }

    /// Sorts by the first of each pair; equal ones stay in their order. A merge sort of its own, because
    /// comparing may fail and values need not have a total order.
    pub fn sorted(&mut self, mut items: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<(Value, Value)>> {
        if items.len() < 2 {
            return Ok(items);
        }
        let right = items.split_off(items.len() / 2);
        let (left, right) = (self.sorted(items, reverse)?, self.sorted(right, reverse)?);
        let mut out = Vec::with_capacity(left.len() + right.len());
        let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
        let wanted = if reverse { Ordering::Greater } else { Ordering::Less };
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let second_first = self.order(&b.0, &a.0)? == Some(wanted);
            out.extend(if second_first { right.next() } else { left.next() });
        }
        out.extend(left);
        out.extend(right);
        Ok(out)
    }

    fn in_groups(&mut self, name: &str, value: &Value, args: &mut Bound) -> Result<Value> {
        let n = args.int(if name == "batch" { "linecount" } else { "slices" }, 0)?;
        let fill = args.next("fill_with").filter(|fill| !matches!(fill, Value::None));
        let Some(n) = usize::try_from(n).ok().filter(|&n| n > 0) else {
            return value_error(format!("{name} needs a number above 0"));
        };
        self.budget.steps(n)?;
        let items = self.iterate(value)?;
        let mut groups = Vec::new();
        if name == "batch" {
            groups.extend(items.chunks(n).map(<[Value]>::to_vec));
            if let (Some(last), Some(fill)) = (groups.last_mut(), fill) {
                last.resize(n.max(last.len()), fill);
            }
        } else {
            let (each, more) = (items.len() / n, items.len() % n);
            let mut items = items.into_iter();
            for i in 0..n {
                let mut group: Vec<_> = items.by_ref().take(each + usize::from(i < more)).collect();
                if let Some(fill) = fill.as_ref().filter(|_| i >= more) {
                    group.push(fill.clone());
                }
                groups.push(group);
            }
        }
        let mut out = Vec::with_capacity(groups.len());
        for group in groups {
            out.push(Value::list(group, &mut self.budget)?);
        }
        self.stream(out)
    }

    /// Text in lower case, unless case counts.
    fn folded(&mut self, key: Value, case_sensitive: bool) -> Result<Value> {
        Ok(match key {
            Value::Str(text) if !case_sensitive => {
                self.budget.bytes(text.len())?;
                Value::Str(text.map_runs(str::to_lowercase))
            }
            other => other,
        })
    }
}
