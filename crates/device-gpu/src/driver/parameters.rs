//! What a kernel's declaration in the dialect says that it takes, so that a launch can be checked where the interface does not.

use super::Arg;

/// A parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `IN` or `OUT`.
    Memory,
    /// `INT`.
    Int,
    /// `FLOAT`.
    Float,
}

impl Parameter {
    /// Whether these arguments fit, in number and kind.
    ///
    /// # Errors
    /// What does not.
    pub fn check(parameters: &[Self], args: &[Arg]) -> Result<(), String> {
        if parameters.len() != args.len() {
            return Err(format!("it takes {} arguments, not {}", parameters.len(), args.len()));
        }
        let fits = |(parameter, arg): (&Self, &Arg)| {
            matches!(
                (parameter, arg),
                (Self::Memory, Arg::Memory(_)) | (Self::Int, Arg::Int(_)) | (Self::Float, Arg::Float(_))
            )
        };
        match parameters.iter().zip(args).position(|pair| !fits(pair)) {
            Some(at) => Err(format!("argument {at} is {:?}, it takes {:?} there", args[at], parameters[at])),
            None => Ok(()),
        }
    }
}

/// The parameters of `KERNEL(name)(...)` in `source`; `None` where it is not there or declared in another manner.
pub fn parameters(source: &str, name: &str) -> Option<Vec<Parameter>> {
    let declared = source.split_once(&format!("KERNEL({name})("))?.1;
    let all = declared.split_once("IDS)")?.0;
    let each = split_outside_parentheses(all);
    each.iter().map(|text| one(text.trim())).collect()
}

fn one(text: &str) -> Option<Parameter> {
    let (kind, rest) = text.split_once('(')?;
    if rest.find(')') != Some(rest.len() - 1) {
        return None;
    }
    match kind {
        "IN" | "OUT" => Some(Parameter::Memory),
        "INT" => Some(Parameter::Int),
        "FLOAT" => Some(Parameter::Float),
        _ => None,
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::MemoryId;

    #[test]
    fn a_declaration_over_several_lines_is_read() {
        let source = "KERNEL(other)(INT(n) IDS) {}\nKERNEL(scale)(IN(float, x), OUT(u16, y),\n    INT(n), FLOAT(by) IDS) {";
        let expected = [Parameter::Memory, Parameter::Memory, Parameter::Int, Parameter::Float];
        assert_eq!(parameters(source, "scale").unwrap(), expected);
        assert_eq!(parameters(source, "other").unwrap(), [Parameter::Int]);
    }

    #[test]
    fn what_is_declared_otherwise_is_left_to_the_interface() {
        assert_eq!(parameters("KERNEL(a)(IN(float, x) IDS) {}", "b"), None);
        assert_eq!(parameters("KERNEL(a)(const float *x IDS) {}", "a"), None);
        assert_eq!(parameters("KERNEL(a)(IN(float, x)\n#if WIDE\n, INT(n)\n#endif\n IDS) {}", "a"), None);
    }

    #[test]
    fn arguments_are_compared_in_number_and_kind() {
        let parameters = [Parameter::Memory, Parameter::Int];
        let memory = Arg::Memory(MemoryId(0));
        assert_eq!(Parameter::check(&parameters, &[memory, Arg::Int(1)]), Ok(()));
        let error = Parameter::check(&parameters, &[memory]).unwrap_err();
        assert_eq!(error, "it takes 2 arguments, not 1");
        let error = Parameter::check(&parameters, &[memory, Arg::Float(1.0)]).unwrap_err();
        assert_eq!(error, "argument 1 is Float(1.0), it takes Int there");
    }
}
