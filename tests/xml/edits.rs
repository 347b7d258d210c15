//! Edits: what they change, and what they leave.

use virt_tailor::xml::Document;

use crate::{QEMU, parse};

fn edit(input: &str, change: impl FnOnce(&mut Document)) -> String {
    let mut document = parse(input.as_bytes()).unwrap();
    change(&mut document);
    let out = String::from_utf8(document.to_bytes()).unwrap();
    parse(out.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{out}"));
    out
}

#[test]
fn attributes_keep_their_quotes_and_places() {
    let input = "<a  one = 'it' two=\"2\"\n three='3' ><b/></a >";
    let out = edit(input, |d| {
        assert!(d.set_attribute(d.root(), "one", "it's \"<&\n"));
        assert!(!d.set_attribute(d.root(), "two", "2"));
        assert!(d.remove_attribute(d.root(), "three"));
        assert!(d.set_attribute(d.root(), "four", "4"));
    });
    assert_eq!(out, "<a  one = 'it&apos;s \"&lt;&amp;&#xA;' two=\"2\" four='4' ><b/></a >");
}

#[test]
fn a_change_taken_back_is_no_change() {
    let input = "<a b='&#x31;'/>";
    let out = edit(input, |d| {
        d.set_attribute(d.root(), "b", "2");
        d.set_attribute(d.root(), "b", "1");
    });
    assert_eq!(out, input);
}

#[test]
fn new_elements_look_like_their_siblings() {
    let go = "<d>\n\t<e>\n\t\t<f x=\"1\"></f>\n\t</e>\n</d>";
    let out = edit(go, |d| {
        let e = d.child(d.root(), "e").unwrap();
        let new = d.append(e, "n");
        d.set_attribute(new, "v", "1");
        let inner = d.append(new, "i");
        d.append(inner, "j");
    });
    let expected = "<d>\n\t<e>\n\t\t<f x=\"1\"></f>\n\t\t<n v=\"1\">\n\t\t\t<i>\n\t\t\t\t<j></j>\n\t\t\t</i>\n\t\t</n>\n\t</e>\n</d>";
    assert_eq!(out, expected);
    let hand = "<d>\r\n  <e>\r\n    <f x='1'/>\r\n  </e>\r\n</d>\r\n";
    let out = edit(hand, |d| {
        let e = d.child(d.root(), "e").unwrap();
        let new = d.append(e, "n");
        d.set_attribute(new, "v", "1");
    });
    assert_eq!(out, "<d>\r\n  <e>\r\n    <f x='1'/>\r\n    <n v='1'/>\r\n  </e>\r\n</d>\r\n");
    let line = "<d><e><f/></e></d>";
    let out = edit(line, |d| {
        let e = d.child(d.root(), "e").unwrap();
        d.append(e, "n");
    });
    assert_eq!(out, "<d><e><f/><n/></e></d>");
}

#[test]
fn empty_parents_open_up() {
    for (input, expected) in [
        ("<d>\n  <e/>\n</d>", "<d>\n  <e>\n    <n/>\n  </e>\n</d>"),
        ("<d>\n  <e />\n</d>", "<d>\n  <e>\n    <n/>\n  </e>\n</d>"),
        ("<d>\n\t<e></e>\n</d>", "<d>\n\t<e>\n\t\t<n></n>\n\t</e>\n</d>"),
        ("<d>\n\t<e>\n\t</e>\n</d>", "<d>\n\t<e>\n\t\t<n/>\n\t</e>\n</d>"),
        ("<d><e/></d>", "<d><e><n/></e></d>"),
    ] {
        let out = edit(input, |d| {
            let e = d.child(d.root(), "e").unwrap();
            d.append(e, "n");
        });
        assert_eq!(out, expected, "{input}");
    }
}

#[test]
fn removal_takes_its_white_space_along() {
    let remove = |input: &str, names: &[&str]| {
        edit(input, |d| {
            let e = d.child(d.root(), "e").unwrap();
            for name in names {
                let gone = d.child(e, name).unwrap();
                d.remove(gone);
                assert!(!d.is_attached(gone));
            }
        })
    };
    let input = "<d>\n <e>\n  <f/>\n  <g/>\n  <h/>\n </e>\n</d>";
    assert_eq!(remove(input, &["g"]), "<d>\n <e>\n  <f/>\n  <h/>\n </e>\n</d>");
    assert_eq!(remove(input, &["f", "h"]), "<d>\n <e>\n  <g/>\n </e>\n</d>");
    assert_eq!(remove(input, &["f", "g", "h"]), "<d>\n <e></e>\n</d>");
    assert_eq!(remove("<d><e>text <f/> tail</e></d>", &["f"]), "<d><e>text  tail</e></d>");
    assert_eq!(remove("<d><e><!-- c -->\n<f/></e></d>", &["f"]), "<d><e><!-- c --></e></d>");
}

#[test]
fn replacing_the_only_child_keeps_the_shape() {
    let out = edit("<d>\n <e>\n  <f/>\n </e>\n</d>", |d| {
        let e = d.child(d.root(), "e").unwrap();
        let f = d.child(e, "f").unwrap();
        d.append(e, "n");
        d.remove(f);
    });
    assert_eq!(out, "<d>\n <e>\n  <n/>\n </e>\n</d>");
}

#[test]
fn text_is_read_and_written() {
    let input = "<d><e>a&amp;b<![CDATA[<c>]]><!-- no -->\r\nd</e><f/></d>";
    let out = edit(input, |d| {
        let (e, f) = (d.child(d.root(), "e").unwrap(), d.child(d.root(), "f").unwrap());
        assert_eq!(d.text(e), "a&b<c>\nd");
        assert!(!d.set_text(e, "a&b<c>\nd"));
        assert!(d.set_text(f, "1 < 2"));
        assert_eq!(d.text(f), "1 < 2");
    });
    assert_eq!(out, input.replace("<f/>", "<f>1 &lt; 2</f>"));
}

#[test]
fn namespaces_decide_not_prefixes() {
    let input = format!("<d xmlns:q='{QEMU}'><q:c/><c xmlns='urn:x'/><qemu:c xmlns:qemu='urn:y'/></d>");
    let out = edit(&input, |d| {
        let found: Vec<_> = d.children(d.root()).filter(|e| d.is(*e, QEMU, "c")).collect();
        assert_eq!(found.len(), 1);
        assert!(d.child(d.root(), "c").is_none());
        let new = d.append_in(found[0], QEMU, "qemu", "arg");
        assert!(d.is(new, QEMU, "arg"));
    });
    assert!(out.contains("<q:c><q:arg/></q:c>"), "{out}");
}

#[test]
fn a_namespace_without_a_prefix_is_declared_on_the_root() {
    let out = edit("<d xmlns:qemu='urn:other'><e/></d>", |d| {
        let new = d.append_in(d.root(), QEMU, "qemu", "c");
        let inner = d.append_in(new, QEMU, "qemu", "arg");
        assert!(d.is(inner, QEMU, "arg"));
    });
    assert_eq!(out, format!("<d xmlns:qemu='urn:other' xmlns:qemu2='{QEMU}'><e/><qemu2:c><qemu2:arg/></qemu2:c></d>"));
    let out = edit(&format!("<d><c xmlns='{QEMU}'/></d>"), |d| {
        let c = d.children(d.root()).next().unwrap();
        d.append_in(c, QEMU, "qemu", "arg");
    });
    assert_eq!(out, format!("<d><c xmlns='{QEMU}'><arg/></c></d>"));
}

/// Found by fuzzing: a bare name below a default namespace is in that namespace.
#[test]
fn a_new_element_in_no_namespace_stays_in_none() {
    let input = "<d><k xmlns='urn:k'><u/></k></d>";
    let out = edit(input, |d| {
        let k = d.children(d.root()).next().unwrap();
        let new = d.append(k, "n");
        d.append(new, "below");
    });
    assert_eq!(out, "<d><k xmlns='urn:k'><u/><n xmlns=''><below/></n></k></d>");
    let again = parse(out.as_bytes()).unwrap();
    let k = again.children(again.root()).next().unwrap();
    assert_eq!(again.namespace(again.child(k, "n").unwrap()), "");
}

/// Found by fuzzing: a child appended behind a text that was set must not take its place, nor get lost.
#[test]
fn a_child_after_set_text_keeps_both() {
    let out = edit("<d>\n  <a/>\n</d>", |d| {
        let a = d.child(d.root(), "a").unwrap();
        d.set_text(a, "1 & 2");
        d.append(a, "b");
        let new = d.append(d.root(), "c");
        d.set_text(new, "3");
        d.append(new, "e");
    });
    let again = parse(out.as_bytes()).unwrap();
    for (name, text, child) in [("a", "1 & 2", "b"), ("c", "3", "e")] {
        let element = again.child(again.root(), name).unwrap();
        assert_eq!(again.text(element).trim(), text, "{out}");
        assert!(again.child(element, child).is_some(), "{out}");
    }
}

/// Found by the property of edits: the white space behind a CDATA section is text, as it is behind plain text.
#[test]
fn removal_leaves_the_white_space_of_cdata() {
    let remove = |input| {
        edit(input, |d| {
            let b = d.child(d.root(), "b").unwrap();
            d.remove(b);
        })
    };
    assert_eq!(remove("<a><![CDATA[1]]> <b/>2</a>"), "<a><![CDATA[1]]> 2</a>");
    assert_eq!(remove("<a>1 <b/>2</a>"), "<a>1 2</a>");
    assert_eq!(remove("<a><c/> <b/></a>"), "<a><c/></a>");
}
