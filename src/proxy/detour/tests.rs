use super::*;

fn read(variables: &[(&str, &str)]) -> (Detours, Vec<&'static str>) {
    let variables = variables.iter();
    let env = variables.map(|(name, value)| (name.into(), value.into()));
    Detours::read(&env.collect())
}

fn way(detours: &Detours, to: &str) -> String {
    let to = to.parse().expect("a URL");
    let found = detours.find(&to);
    found.map_or_else(|| "straight".to_owned(), |found| found.to_string())
}

#[test]
fn variables_name_the_way() {
    let (http, https) = (("HTTP_PROXY", "http://p:1"), ("https_proxy", "q:2"));
    let all = ("ALL_PROXY", "socks5h://s");
    for (variables, to, expected) in [
        (&[http, https][..], "http://h/mcp", "http://p:1"),
        (&[http, https], "https://h/mcp", "http://q:2"),
        (&[http], "https://h/", "straight"),
        (&[https], "http://h/", "straight"),
        (&[http, all], "http://h/", "http://p:1"),
        (&[http, all], "https://h/", "socks5://s:1080"),
        (&[("http_proxy", "a:1"), http], "http://h/", "http://a:1"),
        (&[("http_proxy", " "), http], "http://h/", "http://p:1"),
        (&[http, ("REQUEST_METHOD", "GET")], "http://h/", "straight"),
        (
            &[("ALL_PROXY", "https://u:w@[::2]")],
            "http://h/",
            "https://[::2]:443",
        ),
        (
            &[("all_proxy", "socks4://s:9")],
            "https://h/",
            "socks4://s:9",
        ),
        (&[], "http://h/", "straight"),
        // This machine is never asked for by way of another.
        (&[http], "http://localhost:1/", "straight"),
        (&[http], "http://me.localhost:1/", "straight"),
        // What only ends like it is elsewhere.
        (&[http], "http://notlocalhost:1/", "http://p:1"),
        (&[http], "http://notlocalhost./", "http://p:1"),
        (&[http], "http://127.8.9.1:1/", "straight"),
        (&[http], "http://[::1]/", "straight"),
    ] {
        let (detours, unusable) = read(variables);
        assert!(unusable.is_empty(), "{variables:?}");
        assert_eq!(way(&detours, to), expected, "{variables:?} {to}");
    }
    let (detours, _) = read(&[http]);
    let hosted = Endpoint::hosted(&"h".parse().expect("a name"));
    assert!(detours.find(&hosted).is_none());
}

#[test]
fn exemptions_are_hosts_suffixes_networks_and_ports() {
    for (no, to, is_exempt) in [
        ("h.example", "http://h.example/", true),
        ("h.example", "http://H.EXAMPLE:9/", true),
        ("example", "http://h.example/", true),
        (".example", "http://h.example/", true),
        ("*.example", "http://h.example/", true),
        ("ample", "http://h.example/", false),
        ("a, b  ,h.example", "http://h.example/", true),
        ("a b h.example", "http://h.example/", true),
        ("*", "http://h.example/", true),
        ("*", "http://10.1.2.3/", true),
        ("10.0.0.0/8", "http://10.1.2.3/", true),
        ("10.0.0.0/8", "http://11.1.2.3/", false),
        ("10.1.2.3", "http://10.1.2.3/", true),
        ("10.1.2.3:80", "http://10.1.2.3/", true),
        ("10.1.2.3:81", "http://10.1.2.3/", false),
        ("h.example:81", "http://h.example:81/", true),
        ("h.example:81", "http://h.example/", false),
        (".example:443", "https://h.example/", true),
        ("fd00::/8", "http://[fd00::1]/", true),
        ("fd00::1", "http://[fd00::1]/", true),
        ("[fd00::1]:8", "http://[fd00::1]:8/", true),
        ("[fd00::1]:8", "http://[fd00::1]:9/", false),
        ("", "http://h.example/", false),
    ] {
        let (detours, _) = read(&[("ALL_PROXY", "p:1"), ("NO_PROXY", no)]);
        let expected = if is_exempt { "straight" } else { "http://p:1" };
        assert_eq!(way(&detours, to), expected, "{no:?} {to}");
    }
}

#[test]
fn what_names_no_proxy_is_told() {
    let bad = [("HTTP_PROXY", "ftp://p"), ("https_proxy", "http://")];
    let (detours, unusable) = read(&bad);
    assert_eq!(unusable, ["HTTP_PROXY", "https_proxy"]);
    assert_eq!(way(&detours, "http://h/"), "straight");
}

#[test]
fn a_proxy_that_reads_is_told_the_url_and_who_we_are() {
    let (detours, _) = read(&[("ALL_PROXY", "http://u:w%40@p:1")]);
    let to: Endpoint = "http://h:9/mcp?a=b".parse().expect("a URL");
    let found = detours.find(&to).expect("a proxy");
    assert!(found.reads(&to));
    assert!(!found.reads(&"https://h/".parse().expect("a URL")));
    assert!(!format!("{found} {found:?}").contains("dTp3"));
    let head = found.head(b"POST /mcp?a=b HTTP/1.1\r\nHost: h:9\r\n\r\n", &to);
    assert_eq!(
        String::from_utf8(head).expect("text"),
        "POST http://h:9/mcp?a=b HTTP/1.1\r\nProxy-Authorization: Basic dTp3QA==\r\nHost: h:9\r\n\r\n"
    );
}

#[test]
fn a_proxy_whose_port_is_none_is_not_used() {
    for (url, is_sound) in [
        ("http://p:3128", true),
        ("p:3128", true),
        ("http://u:w@p:3128/", true),
        ("http://[::2]", true),
        ("http://[::2]:3128", true),
        ("http://p", true),
        ("http://p:99999", false),
        ("http://p:0", false),
        ("p:abc", false),
    ] {
        let (detours, unusable) = read(&[("HTTP_PROXY", url)]);
        assert_eq!(unusable.is_empty(), is_sound, "{url}");
        assert_eq!(way(&detours, "http://h/") != "straight", is_sound, "{url}");
    }
}
