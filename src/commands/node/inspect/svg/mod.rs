pub(super) fn picture(_report: &super::report::Report) -> String { String::new() }
