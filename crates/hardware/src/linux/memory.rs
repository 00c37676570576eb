//! Memory, and what a control group leaves of it.

use super::Files;
use crate::machine::MemoryLimit;

/// Bytes of memory and bytes that can be had without swapping, of the text of `/proc/meminfo`.
#[must_use]
pub fn parse_meminfo(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let total = field("MemTotal")?;
    // Kernels before 3.14 do not have the sum.
    let available = field("MemAvailable")
        .or_else(|| Some(field("MemFree")? + field("Buffers").unwrap_or(0) + field("Cached").unwrap_or(0)));
    Some((total, available.unwrap_or(0).min(total)))
}

/// Paths of this process in the memory controllers of both versions, of the text of `/proc/self/cgroup`.
#[must_use]
pub fn parse_cgroup_paths(text: &str) -> CgroupPaths {
    let mut paths = CgroupPaths::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if id == "0" && controllers.is_empty() {
            paths.v2 = Some(path.to_owned());
        } else if controllers.split(',').any(|controller| controller == "memory") {
            paths.v1 = Some(path.to_owned());
        }
    }
    paths
}

/// Where in the trees of control groups a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupPaths {
    /// In the memory controller of version 1.
    pub v1: Option<String>,
    /// In the one tree of version 2.
    pub v2: Option<String>,
}

/// Names of the files of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CgroupFiles {
    /// Where the tree usually is.
    mount: &'static str,
    /// The limit.
    limit: &'static str,
    /// What is used.
    used: &'static str,
    /// In `memory.stat`, what of that can be given back.
    reclaimable: &'static str,
}

const V1: CgroupFiles = CgroupFiles {
    mount: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

const V2: CgroupFiles = CgroupFiles {
    mount: "/sys/fs/cgroup",
    limit: "memory.max",
    used: "memory.current",
    reclaimable: "inactive_file",
};

/// The limit that leaves the least, of all groups that this process is in.
pub fn limit(files: &Files) -> Option<MemoryLimit> {
    let paths = parse_cgroup_paths(&files.text("/proc/self/cgroup")?);
    let v1 = paths.v1.into_iter().flat_map(|path| limits(files, V1, &path));
    let v2 = paths.v2.into_iter().flat_map(|path| limits(files, V2, &path));
    v1.chain(v2).min_by_key(|limit| limit.bytes.saturating_sub(limit.used))
}

/// Limits of a group and of those above it. In a container the path may be the host's and the mount the container's own, so the
/// mount itself is always asked.
fn limits(files: &Files, names: CgroupFiles, path: &str) -> Vec<MemoryLimit> {
    let mut folders = Vec::new();
    let mut rest = path.trim_matches('/');
    while !rest.is_empty() && !rest.contains("..") {
        folders.push(format!("{}/{rest}", names.mount));
        rest = rest.rsplit_once('/').map_or("", |(above, _)| above);
    }
    folders.push(names.mount.to_owned());
    folders.iter().filter_map(|folder| limit_of(files, names, folder)).collect()
}

fn limit_of(files: &Files, names: CgroupFiles, folder: &str) -> Option<MemoryLimit> {
    // `max` is no number, and no limit.
    let source = format!("{folder}/{}", names.limit);
    let bytes = files.number::<u64>(&source)?;
    let used = files.number::<u64>(&format!("{folder}/{}", names.used)).unwrap_or(0);
    let stat = files.text(&format!("{folder}/memory.stat")).unwrap_or_default();
    let reclaimable = stat
        .lines()
        .find_map(|line| line.strip_prefix(names.reclaimable)?.strip_prefix(' ')?.trim().parse::<u64>().ok());
    Some(MemoryLimit { bytes, used: used.saturating_sub(reclaimable.unwrap_or(0)), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_memory_are_read() {
        let text = "MemTotal:       2048 kB\nMemFree:         100 kB\nMemAvailable:   1024 kB\n";
        assert_eq!(parse_meminfo(text), Some((2 << 20, 1 << 20)));
        let old = "MemTotal: 2048 kB\nMemFree: 100 kB\nBuffers: 24 kB\nCached: 900 kB\n";
        assert_eq!(parse_meminfo(old), Some((2 << 20, 1 << 20)));
        assert_eq!(parse_meminfo("MemFree: 1 kB"), None);
    }

    #[test]
    fn paths_of_both_versions_are_found() {
        let text = "9:name=systemd:/\n4:cpu,memory:/job/7\n0::/user.slice/a:b\n";
        let paths = parse_cgroup_paths(text);
        assert_eq!(paths.v1.as_deref(), Some("/job/7"));
        assert_eq!(paths.v2.as_deref(), Some("/user.slice/a:b"));
        assert_eq!(parse_cgroup_paths("nothing\n1:"), CgroupPaths::default());
    }
}
