import Primitives

/// What pages load beside themselves. It is part of the program, so that a page never meets another version's style.
enum Assets {
    /// Below the sign-in and everything else that needs no session.
    static let stylePath = "/admin/assets/\(tag(of: style)).css"
    static let scriptPath = "/admin/assets/\(tag(of: script)).js"

    /// Of its content: a new version has a new address, and what a browser keeps is never the old one.
    private static func tag(of text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return Hex.encode(withUnsafeBytes(of: hash.bigEndian) { Array($0) })
    }

    static let style = """
        :root{color-scheme:light dark;--ground:#fbfbfa;--sheet:#fff;--ink:#1c2024;--soft:#5b6470;--line:#e2e4e8;--fill:#f1f3f5;--accent:#0b6e6e;
        --accent-soft:#9cc5c5;--on-accent:#fff;--good:#18794e;--warn:#8a5a00;--bad:#b3261e;--good-fill:#e3f4ea;--warn-fill:#fdf1d8;--bad-fill:#fdeceb;
        --s1:4px;--s2:8px;--s3:12px;--s4:16px;--s5:24px;--s6:40px;--small:.8125rem;--text:.9375rem;--large:1.125rem;--title:1.5rem}
        @media (prefers-color-scheme:dark){:root{--ground:#121416;--sheet:#1a1d20;--ink:#eceef0;--soft:#a0a9b4;--line:#2e3338;--fill:#23272b;
        --accent:#5cc4bd;--accent-soft:#2f6d69;--on-accent:#06201f;--good:#6fd39b;--warn:#f0c069;--bad:#ff9c94;--good-fill:#15301f;--warn-fill:#33270c;--bad-fill:#3a1a18}}
        *{box-sizing:border-box}html{font:var(--text)/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;background:var(--ground);color:var(--ink)}
        html{-webkit-text-size-adjust:100%}body{margin:0;min-height:100vh;display:grid;grid-template-columns:15rem minmax(0,1fr)}
        a{color:var(--accent);text-underline-offset:2px}a,strong,code,.tag,h1,.steps span{unicode-bidi:isolate}a:hover{text-decoration-thickness:2px}
        :focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:2px}
        h1{font-size:var(--title);line-height:1.25;margin:0;overflow-wrap:anywhere}h2{font-size:var(--large);margin:var(--s5) 0 var(--s2)}
        p{margin:0 0 var(--s3);max-width:70ch}.soft{color:var(--soft)}.small{font-size:var(--small)}code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.93em}
        .skip{position:absolute;left:-999px}.skip:focus{left:var(--s2);top:var(--s2);background:var(--sheet);padding:var(--s2);z-index:2}
        .side{border-right:1px solid var(--line);padding:var(--s4);background:var(--sheet);position:sticky;top:0;height:100vh;overflow:auto}
        .brand{font-weight:650;font-size:var(--large);letter-spacing:-.01em;text-decoration:none;color:var(--ink);display:flex;align-items:center;gap:var(--s2);margin-bottom:var(--s3);padding:0 var(--s2)}
        .mark{width:1.5rem;height:1.5rem;padding:3px;border-radius:6px;background:var(--accent);fill:none;stroke:var(--on-accent);stroke-width:2.4;stroke-linecap:round;flex:none}
        .side h2{font-size:var(--small);font-weight:600;color:var(--soft);margin:var(--s3) 0 2px;padding:0 var(--s2)}
        .side ul{list-style:none;margin:0;padding:0}.side li a{display:block;padding:2px var(--s2);line-height:1.6;font-size:.875rem;border-radius:6px;color:var(--ink);text-decoration:none}
        .side li a:hover{background:var(--fill)}.side li a[aria-current]{background:var(--fill);font-weight:600;box-shadow:inset 3px 0 0 var(--accent)}
        .who{margin-top:var(--s4);padding-top:var(--s3);border-top:1px solid var(--line);font-size:var(--small);overflow-wrap:anywhere}
        .who form{margin-top:var(--s2)}.side>details>summary{display:none}
        main{padding:var(--s5);max-width:90rem;width:100%}.head{display:flex;flex-wrap:wrap;gap:var(--s3);align-items:center;justify-content:space-between;margin-bottom:var(--s2)}
        .acts{display:flex;flex-wrap:wrap;gap:var(--s2)}.crumbs{font-size:var(--small);margin-bottom:var(--s1)}
        button,.button{font:inherit;border:1px solid var(--line);background:var(--sheet);color:var(--ink);border-radius:6px;padding:var(--s1) var(--s3);cursor:pointer;text-decoration:none;display:inline-block;min-height:2rem;line-height:1.4}
        button:hover,.button:hover{background:var(--fill)}.main-act{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}.main-act:hover{background:var(--accent);filter:brightness(1.08)}
        .danger{color:var(--bad);border-color:var(--bad)}button.danger.main-act{background:var(--bad);color:var(--sheet)}
        .sheet{background:var(--sheet);border:1px solid var(--line);border-radius:8px;overflow:auto;margin-bottom:var(--s4)}.pad{padding:var(--s4)}
        table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:var(--s2);border-bottom:1px solid var(--line);vertical-align:top}
        thead th{font-size:var(--small);color:var(--soft);font-weight:600;white-space:nowrap;background:var(--sheet);position:sticky;top:0}thead th a{color:inherit}
        tbody tr:last-child td,tbody tr:last-child th{border-bottom:0}tbody tr:hover{background:var(--fill)}:is(th,td):first-child{padding-left:var(--s4)}:is(th,td):last-child{padding-right:var(--s4)}td>a{display:inline-block;max-width:11rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;vertical-align:bottom}.text td>a{display:inline;white-space:normal}td,tbody th{overflow-wrap:break-word;max-width:28rem}td:first-child{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}tbody th{font-weight:500}
        .num{text-align:right;white-space:nowrap}.time{white-space:nowrap}tfoot td{font-weight:600;border-top:2px solid var(--line)}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:var(--s3);margin:var(--s3) 0 var(--s4)}.tile{background:var(--sheet);border:1px solid var(--line);border-radius:8px;padding:var(--s3) var(--s4)}
        .tile b{display:block;overflow-wrap:anywhere;font-size:var(--title);font-weight:600;font-variant-numeric:tabular-nums;line-height:1.3}.tile span{font-size:var(--small);color:var(--soft)}
        .pairs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr));gap:0 var(--s4)}.pairs section{min-width:0}
        .steps{list-style:none;margin:0;padding:0;counter-reset:step}.steps li{display:grid;grid-template-columns:2rem minmax(0,1fr) auto;gap:var(--s2);align-items:start;padding:var(--s3) var(--s4);border-bottom:1px solid var(--line);counter-increment:step}.steps li:last-child{border-bottom:0}.steps li::before{content:counter(step);color:var(--soft);font-variant-numeric:tabular-nums}
        .check{display:flex;gap:var(--s2);align-items:start}.check input{min-height:0;margin-top:.3rem}
        .tag{display:inline-block;max-width:100%;overflow:hidden;text-overflow:ellipsis;vertical-align:bottom;border-radius:999px;padding:0 var(--s2);font-size:var(--small);background:var(--fill);white-space:nowrap}.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
        .tag.good{background:var(--good-fill)}.tag.warn{background:var(--warn-fill)}.tag.bad{background:var(--bad-fill)}
        .note{border:1px solid var(--line);border-left:4px solid var(--accent);background:var(--sheet);border-radius:6px;padding:var(--s3) var(--s4);margin-bottom:var(--s4)}
        .note.bad{border-left-color:var(--bad);color:inherit}.note.warn{border-left-color:var(--warn);color:inherit}.note.good{border-left-color:var(--good);color:inherit}.note p:last-child{margin:0}
        .filters{display:flex;flex-wrap:wrap;gap:var(--s2) var(--s3);align-items:end;margin:var(--s3) 0}.filters label{font-size:var(--small);color:var(--soft);display:grid;gap:2px}
        input,select,textarea{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--line);border-radius:6px;padding:var(--s1) var(--s2);min-height:2rem;max-width:100%}textarea{width:100%;min-height:3.5rem;font-family:ui-monospace,Menlo,Consolas,monospace;font-size:var(--small)}
        .filters input{width:9.5rem}.filters select{width:auto;min-width:9.5rem;max-width:15rem}.form{max-width:44rem}.field{margin-bottom:var(--s4)}.field>label,legend{font-weight:600;display:block}.field .about{font-size:var(--small);color:var(--soft);margin:0 0 var(--s1)}
        .field input:not([type=checkbox]),.field select{width:100%}.field .problem{color:var(--bad);font-size:var(--small);margin:var(--s1) 0 0}.field [aria-invalid]{border-color:var(--bad)}
        fieldset{border:1px solid var(--line);border-radius:8px;padding:var(--s3) var(--s4);margin:0 0 var(--s4)}.row{border-top:1px dashed var(--line);padding-top:var(--s3);margin-top:var(--s3)}
        dl{display:grid;grid-template-columns:minmax(9rem,16rem) minmax(0,1fr);margin:0}dt,dd{padding:var(--s2) var(--s4);border-bottom:1px solid var(--line);margin:0;overflow-wrap:anywhere}dt{color:var(--soft)}.each:not(:last-child){margin-right:var(--s3)}dl>:nth-last-child(-n+2){border-bottom:0}.pairs dl{grid-template-columns:minmax(7rem,2fr) minmax(0,3fr);font-size:.875rem}.pairs :is(dt,dd){padding:var(--s2) var(--s3)}
        .secret{display:flex;gap:var(--s2);flex-wrap:wrap;margin:var(--s2) 0}.secret input{flex:1 1 20rem;font-family:ui-monospace,Menlo,Consolas,monospace}
        .empty{padding:var(--s5) var(--s4);color:var(--soft)}.empty p{margin:0 0 var(--s2)}pre{overflow:auto;padding:var(--s3);background:var(--fill);border-radius:6px;font-size:var(--small);margin:var(--s2) 0;white-space:pre-wrap;overflow-wrap:anywhere}
        svg.chart{display:block;width:100%;height:auto}svg .bar{fill:var(--accent)}svg .bar2{fill:var(--bad)}svg .bar4{fill:var(--accent-soft)}svg .bar3{fill:var(--warn)}svg .rest{fill:var(--fill)}.legend{display:flex;flex-wrap:wrap;gap:var(--s1) var(--s4);margin:var(--s2) 0 0}.legend i{display:inline-block;width:.7rem;height:.7rem;border-radius:3px;margin-right:var(--s1);background:var(--accent)}.legend i.bar2{background:var(--bad)}.legend i.bar3{background:var(--warn)}.legend i.bar4{background:var(--accent-soft)}svg .axis{stroke:var(--line)}svg text{fill:var(--soft);font-size:11px;font-family:inherit}
        .sign{display:grid;place-items:center;grid-template-columns:minmax(0,26rem);justify-content:center;padding:var(--s4)}.sign main{margin:0}.sign .sheet{padding:var(--s5)}.sign .brand{padding:0}.sign h1{margin-bottom:var(--s4)}
        @media (max-width:50rem){body{display:block}.pairs dl{grid-template-columns:1fr}.side{position:static;height:auto;border-right:0;border-bottom:1px solid var(--line);padding:var(--s3) var(--s4)}.side>details>summary{display:list-item;cursor:pointer}
        main{padding:var(--s4)}dl{grid-template-columns:1fr}dt{border-bottom:0;padding-bottom:0}dl>:nth-last-child(2){border-bottom:0}.filters input,.filters select{width:100%;min-width:0;max-width:none}.filters label{flex:1 1 9rem}
        svg.chart:not(.half):not(.parts){min-width:40rem}svg text{font-size:14px}svg.half text{font-size:12px}table.wide thead{display:none}table.wide td:first-child{white-space:normal}table.wide tr{display:block;padding:var(--s2) 0;border-bottom:1px solid var(--line)}table.wide td,table.wide tbody th{display:flex;justify-content:space-between;gap:var(--s3);border:0;padding:var(--s1) var(--s3);text-align:right;white-space:normal;max-width:none;overflow-wrap:anywhere}table.wide td>a{max-width:none;white-space:normal;min-height:1.5rem}table.wide,table.wide tbody,table.wide tfoot{display:block}
        table.wide td::before,table.wide tbody th::before{content:attr(data-title);color:var(--soft);font-size:var(--small);font-weight:400;text-align:left;flex:none}.brand{padding:0}}
        @media (min-width:50.01rem){.side>details:not([open])>:not(summary){display:block}}
        .guide{max-width:56rem}.guide h1{margin-bottom:var(--s4)}.guide h2{margin-top:var(--s6)}.guide h3{font-size:var(--text);margin:var(--s5) 0 var(--s2);overflow-wrap:anywhere}.guide p,.guide li{max-width:44rem}.guide ul,.guide ol{padding-left:var(--s5);margin:0 0 var(--s3)}.guide li{margin-bottom:var(--s2)}
        .guide h2,.guide h3,main>h3{scroll-margin-top:var(--s4)}.anchor{color:var(--soft);text-decoration:none;font-weight:400;opacity:0}:is(h2,h3,h4):hover>.anchor,.anchor:focus{opacity:1}.guide img{max-width:100%;height:auto;border:1px solid var(--line);border-radius:6px;display:block}
        table.text{font-variant-numeric:normal}table.text td{max-width:none;overflow-wrap:anywhere}table.text td:first-child{white-space:normal;overflow:visible}table.text thead td{border-bottom:1px solid var(--line)}
        .code{position:relative}.code button{position:absolute;top:var(--s2);right:var(--s2);font-size:var(--small);min-height:0;padding:0 var(--s2)}.code pre{white-space:pre;overflow-wrap:normal}
        .guide .parts{float:right;max-width:16rem;margin:0 0 var(--s4) var(--s5);padding:var(--s2) var(--s4);border-left:1px solid var(--line)}.parts ul{list-style:none;padding:0;margin:0}.parts li{margin:0}
        @media (max-width:64rem){.guide .parts{float:none;max-width:none;margin:0 0 var(--s4);padding:0 0 0 var(--s3)}}
        @media print{.side,.acts,.filters{display:none}body{display:block}}

        """

    /// Every page works without it. It copies what is to be copied, and renews what is marked as live while the page is looked at.
    static let script = """
        "use strict";
        const wide = window.matchMedia("(min-width: 50.01rem)");
        const menu = document.querySelector(".side > details");
        if (menu) { const fit = () => { menu.open = wide.matches; }; fit(); wide.addEventListener("change", fit); }
        if (wide.matches) document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest" });
        for (const button of document.querySelectorAll("button[data-copy]")) {
            button.hidden = false;
            button.addEventListener("click", async () => {
                const field = document.getElementById(button.dataset.copy);
                const text = field.value ?? field.textContent;
                try { await navigator.clipboard.writeText(text); } catch {
                    if (field.select) field.select(); else getSelection().selectAllChildren(field);
                    document.execCommand("copy");
                }
                button.textContent = "Copied";
            });
        }
        const live = document.querySelector("[data-live]");
        if (live) {
            const put = (html) => {
                const next = new DOMParser().parseFromString(html, "text/html").body;
                // What somebody has opened, and where the keyboard stands, stays so.
                const open = [...live.querySelectorAll("details")].map((part) => part.open);
                next.querySelectorAll("details").forEach((part, index) => { part.open = open[index] || false; });
                const at = live.contains(document.activeElement) ? [...live.querySelectorAll("a,summary,button")].indexOf(document.activeElement) : -1;
                live.replaceChildren(...next.childNodes);
                if (at >= 0) live.querySelectorAll("a,summary,button")[at]?.focus({ preventScroll: true });
            };
            const look = async () => {
                if (document.hidden) return;
                try {
                    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
                    if (!answer.ok || answer.redirected) return;
                    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
                    if (next) put(next.innerHTML);
                } catch { }
            };
            let source, asking;
            const listen = () => {
                if (document.hidden) { source?.close(); source = undefined; return; }
                if (source) return;
                source = new EventSource(live.dataset.live);
                source.onmessage = (event) => { live.dataset.state = "live"; put(event.data); };
                source.onerror = () => {
                    live.dataset.state = "waiting";
                    // There is no place for one more: ask now and then.
                    if (source?.readyState === EventSource.CLOSED) asking ??= setInterval(look, 15000);
                };
            };
            document.addEventListener("visibilitychange", listen);
            window.addEventListener("pagehide", () => { source?.close(); source = undefined; });
            window.addEventListener("pageshow", listen);
            listen();
        }

        """
}
