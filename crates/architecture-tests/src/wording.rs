//! Rules on every text file: no path of the machine that somebody happened to work on.

/// First parts of absolute paths that exist on a workplace and on no user's machine.
fn foreign_roots() -> [String; 3] {
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Use", "rs/")].map(String::from)
}

/// Lines that contain an absolute path below one of the machine's own directories.
#[must_use]
pub fn machine_path_lines(text: &str) -> Vec<usize> {
    let roots = foreign_roots();
    let is_absolute = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "_-./~>}".contains(c)))
    };
    let has = |line: &str| {
        roots.iter().any(|root| line.match_indices(root.as_str()).any(|(at, _)| is_absolute(line, at)))
    };
    text.lines().enumerate().filter(|(_, line)| has(line)).map(|(line, _)| line + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_a_machine_are_found() {
        let root = concat!("/wo", "rk/");
        assert_eq!(machine_path_lines(&format!("fine\nsee `{root}x`\ncd {root}y\n{root}z")), [2, 3, 4]);
        assert_eq!(machine_path_lines(concat!("HOME=/ro", "ot/.cargo")), [1]);
    }

    #[test]
    fn parts_of_other_paths_pass() {
        let root = concat!("/wo", "rk/");
        assert_eq!(
            machine_path_lines(&format!("https://example.org{root}x ..{root}y a{root}b ${{HOME}}{root}")),
            Vec::<usize>::new()
        );
    }
}
