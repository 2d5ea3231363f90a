import Mustache

/// The pages' HTML. Everything is escaped but what stands in three braces: a chart's SVG, drawn here of numbers, what another template made, and
/// what `Markdown` made of a guide.
enum Templates {
    static func render(_ name: String, _ page: Any) -> String { library.render(page, withTemplate: name) ?? "" }

    /// Those that can be compiled: DashboardTests says that all can.
    static let compiled = all.compactMapValues { try? MustacheTemplate(string: $0) }
    private static let library = MustacheLibrary(templates: compiled)

    static let all: [String: String] = [
        "layout": layout, "sign-in": signIn, "message": message, "list": list, "detail": detail, "form": form, "field": field, "cell": cell,
        "filters": filters,
        "table": table, "created": created, "overview": overview, "overview-live": overviewLive, "report": report, "docs": docs,
        "guide": guide,
        "chart": chart, "titled": titled, "steps": steps, "price-diff": priceDiff, "portal": portal,
    ]

    private static let start = """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
        <title>{{chrome.title}} · Weir</title><link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Crect width='24' height='24' rx='6' fill='%230b6e6e'/%3E%3Cpath d='M4 7h7c4 0 2 8 5 8h4M4 11h5c4 0 2 8 5 8h6' fill='none' stroke='%23fff' stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E"><link rel="stylesheet" href="{{chrome.style}}"><script src="{{chrome.script}}" defer></script></head>
        """

    private static let layout =
        start + """
            <body><a class="skip" href="#main">Skip to the content</a>
            <header class="side"><a class="brand" href="{{chrome.home}}"><svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M2 6h9c4 0 2 9 6 9h5M2 10h7c4 0 2 9 6 9h7"/></svg>Weir</a><details><summary>Menu</summary>
            <nav aria-label="Pages">{{#chrome.sections}}<h2>{{title}}</h2><ul>{{#links}}<li><a href="{{href}}"{{#isCurrent}} aria-current="page"{{/isCurrent}}>{{text}}</a></li>{{/links}}</ul>{{/chrome.sections}}</nav>
            <div class="who">Signed on as <strong>{{chrome.person}}</strong>, {{chrome.role}}
            <form method="post" action="/admin/logout"><input type="hidden" name="csrf_token" value="{{chrome.csrf}}"><button>Sign off</button></form></div>
            </details></header>
            <main id="main">{{#chrome.looked}}<div class="note warn" role="note"><p>You are looking at the pages of <a href="{{href}}">{{text}}</a>, as its own people of your role see them. Nothing can be changed here, and the tenant's audit trail says that you looked.</p></div>{{/chrome.looked}}{{$content}}{{/content}}</main></body></html>

            """

    private static let signIn =
        start + """
            <body class="sign"><main class="sheet"><a class="brand" href="/admin"><svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M2 6h9c4 0 2 9 6 9h5M2 10h7c4 0 2 9 6 9h7"/></svg>Weir</a><h1>Sign on</h1>
            {{#problem}}<div class="note bad" role="alert"><p>{{problem}}</p></div>{{/problem}}
            {{#provider}}<p><a class="button main-act" href="/admin/login">Sign on with your organisation</a></p><p class="soft small">or with an administrator's token:</p>{{/provider}}
            <form method="post" action="/admin/sign-in"><input type="hidden" name="next" value="{{next}}">
            <div class="field"><label for="token">Token</label><p class="about">An administrator's token, as weir token create or the first start gave it.</p>
            <input id="token" name="token" type="password" autocomplete="off" required></div><button class="main-act">Sign on</button></form></main></body></html>

            """

    private static let message = """
        {{<layout}}{{$content}}<div class="head"><h1>{{chrome.title}}</h1></div>
        <div class="note {{kind}}" role="alert">{{#lines}}<p>{{.}}</p>{{/lines}}</div>{{#back}}<p><a href="{{back}}">Go back</a></p>{{/back}}{{/content}}{{/layout}}
        """

    private static let filters = """
        {{#filters}}<label>{{label}}{{#isSelect}}<select name="{{name}}">{{#options}}<option value="{{value}}"{{#isSelected}} selected{{/isSelected}}>{{text}}</option>{{/options}}</select>{{/isSelect}}{{^isSelect}}<input name="{{name}}" value="{{value}}"{{#placeholder}} placeholder="{{placeholder}}"{{/placeholder}}>{{/isSelect}}</label>{{/filters}}<button>Show</button>
        """

    private static let cell = """
        {{#href}}<a href="{{href}}">{{text}}</a>{{/href}}{{^href}}{{#kind}}<span class="tag {{kind}}">{{text}}</span>{{/kind}}{{^kind}}{{text}}{{/kind}}{{/href}}
        """

    private static let table = """
        <table class="wide"><thead><tr>{{#columns}}<th scope="col"{{#isNumber}} class="num"{{/isNumber}}>{{#href}}<a href="{{href}}">{{text}}{{mark}}</a>{{/href}}{{^href}}{{text}}{{/href}}</th>{{/columns}}</tr></thead>
        <tbody>{{#rows}}<tr>{{#cells}}<td data-title="{{title}}"{{#isNumber}} class="num"{{/isNumber}}{{#isTime}} class="time"{{/isTime}}>{{>cell}}</td>{{/cells}}</tr>{{/rows}}</tbody>{{#hasTotals}}<tfoot><tr>{{#totals}}<td data-title="{{title}}"{{#isNumber}} class="num"{{/isNumber}}>{{text}}</td>{{/totals}}</tr></tfoot>{{/hasTotals}}</table>
        """

    private static let list = """
        {{<layout}}{{$content}}<div class="head"><h1>{{chrome.title}}</h1><div class="acts">{{#acts}}<a class="button{{#isMain}} main-act{{/isMain}}{{#isDanger}} danger{{/isDanger}}" href="{{href}}">{{text}}</a>{{/acts}}</div></div>
        <p class="soft">{{about}}</p>
        {{#hasFilters}}<form class="filters" method="get" role="search">{{>filters}}{{#isFiltered}}<a href="{{plain}}">All of them</a>{{/isFiltered}}</form>{{/hasFilters}}
        <div class="sheet" tabindex="0" role="group" aria-label="Table">{{#isEmpty}}<div class="empty"><p>{{emptyWords}}</p>{{#emptyAct}}<a class="button main-act" href="{{href}}">{{text}}</a>{{/emptyAct}}</div>{{/isEmpty}}{{^isEmpty}}{{#table}}{{>table}}{{/table}}{{/isEmpty}}</div>
        <div class="acts">{{#first}}<a class="button" href="{{first}}">First page</a>{{/first}}{{#next}}<a class="button" href="{{next}}">Next page</a>{{/next}}{{#exports}}<a class="button" href="{{href}}">{{text}}</a>{{/exports}}</div>{{/content}}{{/layout}}
        """

    private static let detail = """
        {{<layout}}{{$content}}<div class="crumbs"><a href="{{listHref}}">{{listText}}</a></div><div class="head"><h1>{{chrome.title}}</h1><div class="acts">{{#acts}}<a class="button{{#isMain}} main-act{{/isMain}}{{#isDanger}} danger{{/isDanger}}" href="{{href}}">{{text}}</a>{{/acts}}</div></div>
        {{#notice}}<div class="note {{noticeKind}}" role="status"><p>{{notice}}</p></div>{{/notice}}
        {{#live}}<div data-live="{{live}}">{{{fragment}}}</div>{{/live}}
        {{#hasNow}}<h2>Now</h2>{{#bars}}<div class="sheet pad">{{{svg}}}<p class="legend small soft">{{#legend}}<span><i class="{{kind}}"></i>{{text}}</span>{{/legend}}</p></div>{{/bars}}<div class="sheet"><dl>{{#now}}<dt title="{{about}}">{{label}}</dt><dd>{{#cells}}<span class="each">{{>cell}}</span> {{/cells}}</dd>{{/now}}</dl></div><h2>Settings</h2>{{/hasNow}}
        {{#hasFacts}}<div class="sheet"><dl>{{#facts}}<dt title="{{about}}">{{label}}</dt><dd>{{#cells}}<span class="each">{{>cell}}</span> {{/cells}}</dd>{{/facts}}</dl></div>{{/hasFacts}}
        <div class="pairs">{{#sections}}<section><h2>{{title}}</h2><div class="sheet"><dl>{{#facts}}<dt title="{{about}}">{{label}}</dt><dd>{{#cells}}<span class="each">{{>cell}}</span> {{/cells}}</dd>{{/facts}}</dl></div></section>{{/sections}}</div>{{#tables}}{{>titled}}{{/tables}}
        {{#hasRelated}}<h2>Belongs to it</h2><div class="acts">{{#related}}<a class="button" href="{{href}}">{{text}}</a>{{/related}}</div>{{/hasRelated}}{{/content}}{{/layout}}
        """

    private static let form = """
        {{<layout}}{{$content}}<div class="crumbs"><a href="{{back}}">{{backText}}</a></div><div class="head"><h1>{{chrome.title}}</h1></div>
        <p class="soft">{{about}}</p>{{#hasProblems}}<div class="note bad" role="alert">{{#problems}}<p>{{.}}</p>{{/problems}}</div>{{/hasProblems}}
        {{#hasNow}}<h2>As it is now</h2><div class="sheet"><dl>{{#now}}<dt>{{label}}</dt><dd>{{#cells}}<span class="each">{{>cell}}</span> {{/cells}}</dd>{{/now}}</dl></div>{{/hasNow}}
        {{#fragment}}{{{fragment}}}{{/fragment}}
        <form class="form" method="post" action="{{action}}"{{#isMultipart}} enctype="multipart/form-data"{{/isMultipart}}><input type="hidden" name="csrf_token" value="{{chrome.csrf}}">{{#hidden}}<input type="hidden" name="{{name}}" value="{{value}}">{{/hidden}}{{#revision}}<input type="hidden" name="revision" value="{{revision}}">{{/revision}}
        {{#fields}}{{>field}}{{/fields}}<div class="acts"><button class="main-act{{#isDanger}} danger{{/isDanger}}">{{submit}}</button><a class="button" href="{{back}}">Cancel</a></div></form>{{/content}}{{/layout}}
        """

    private static let field = """
        {{#isGroup}}<fieldset><legend>{{label}}</legend><p class="about soft small">{{about}}</p>{{#fields}}{{>field}}{{/fields}}</fieldset>{{/isGroup}}{{^isGroup}}<div class="field"><label for="{{id}}">{{label}}{{^isRequired}} <span class="soft small">(optional)</span>{{/isRequired}}</label><p class="about" id="{{id}}-about">{{about}}</p>
        {{#isSelect}}<select id="{{id}}" name="{{name}}" aria-describedby="{{id}}-about"{{#problem}} aria-invalid="true"{{/problem}}>{{#options}}<option value="{{value}}"{{#isSelected}} selected{{/isSelected}}>{{text}}</option>{{/options}}</select>{{/isSelect}}{{#isArea}}<textarea id="{{id}}" name="{{name}}" aria-describedby="{{id}}-about"{{#problem}} aria-invalid="true"{{/problem}}>
        {{value}}</textarea>{{/isArea}}{{#isText}}<input id="{{id}}" name="{{name}}" value="{{value}}" type="{{type}}" autocomplete="off" placeholder="{{placeholder}}" aria-describedby="{{id}}-about"{{#isRequired}} required{{/isRequired}}{{#problem}} aria-invalid="true"{{/problem}}>{{/isText}}
        {{#problem}}<p class="problem">{{problem}}</p>{{/problem}}</div>{{/isGroup}}
        """

    private static let created = """
        {{<layout}}{{$content}}<div class="head"><h1>{{chrome.title}}</h1></div><div class="note warn" role="status"><p>This is shown once, and never again. Copy it now.</p>
        <div class="secret"><input id="secret" readonly value="{{secret}}" aria-label="{{label}}"><button type="button" data-copy="secret" hidden>Copy</button></div></div><p><a class="button main-act" href="{{href}}">I have it: go on</a></p>{{/content}}{{/layout}}
        """

    private static let overview = """
        {{<layout}}{{$content}}<div class="head"><h1>Overview</h1></div><div data-live="{{live}}">{{{fragment}}}</div>{{/content}}{{/layout}}
        """

    private static let portal = """
        {{<layout}}{{$content}}<div class="head"><h1>{{chrome.title}}</h1></div><p class="soft">{{about}}</p>{{{fragment}}}{{/content}}{{/layout}}
        """

    private static let overviewLive = """
        {{#findings}}<div class="note {{kind}}"><p><strong>{{subject}}</strong> {{message}}</p><p class="small soft">{{#act}}<a href="{{href}}">{{text}}</a> · {{/act}}{{#command}}<code>{{command}}</code>{{/command}}</p></div>{{/findings}}{{#moreFindings}}<p class="soft">and {{moreFindings}} more: <code>weir doctor</code></p>{{/moreFindings}}
        <div class="tiles">{{#tiles}}<div class="tile"><span>{{#href}}<a href="{{href}}">{{label}}</a>{{/href}}{{^href}}{{label}}{{/href}}</span><b>{{value}}</b><span>{{note}}</span></div>{{/tiles}}</div>
        <div class="pairs">{{#charts}}{{>chart}}{{/charts}}</div>{{#tables}}{{>titled}}{{/tables}}
        """

    private static let chart = """
        <section><h2>{{title}}</h2><div class="sheet pad" tabindex="0" role="group" aria-label="Chart">{{{svg}}}{{#hasLegend}}<p class="legend small soft">{{#legend}}<span><i class="{{kind}}"></i>{{text}}</span>{{/legend}}</p>{{/hasLegend}}<details><summary class="small soft">The same as a table</summary>{{#table}}{{>table}}{{/table}}</details></div></section>
        """

    private static let titled = """
        <h2>{{title}}</h2><div class="sheet" tabindex="0" role="group" aria-label="Table">{{#isEmpty}}<div class="empty"><p>{{emptyWords}}</p></div>{{/isEmpty}}{{^isEmpty}}{{#table}}{{>table}}{{/table}}{{/isEmpty}}</div>
        """

    private static let steps = """
        {{<layout}}{{$content}}<div class="crumbs"><a href="/admin/models">Models</a></div><div class="head"><h1>{{chrome.title}}</h1></div>
        <div class="note {{kind}}" role="status">{{#lines}}<p>{{.}}</p>{{/lines}}</div>
        <div class="sheet"><ol class="steps">{{#steps}}<li><div><strong>{{title}}</strong><br>{{#href}}<a href="{{href}}">{{text}}</a>{{/href}}{{^href}}<span class="soft">{{text}}</span>{{/href}}</div><span class="tag {{kind}}">{{state}}</span></li>{{/steps}}</ol></div>
        {{#hasForm}}<form method="post" action="/admin/add-model"><input type="hidden" name="csrf_token" value="{{chrome.csrf}}">{{#hidden}}<input type="hidden" name="{{name}}" value="{{value}}">{{/hidden}}<div class="acts">{{#canGoOn}}<button class="main-act" name="go" value="on">{{goOn}}</button>{{/canGoOn}}<button name="go" value="back">Change what was entered</button></div></form>{{/hasForm}}
        <div class="acts">{{#acts}}<a class="button{{#isMain}} main-act{{/isMain}}" href="{{href}}">{{text}}</a>{{/acts}}</div>{{/content}}{{/layout}}
        """

    private static let priceDiff = """
        {{<layout}}{{$content}}<div class="crumbs"><a href="/admin/prices">Prices</a></div><div class="head"><h1>{{chrome.title}}</h1></div><p class="soft">{{about}}</p>
        {{#hasProblems}}<div class="note bad" role="alert">{{#problems}}<p>{{.}}</p>{{/problems}}</div>{{/hasProblems}}
        <form method="post" action="/admin/prices/import"><input type="hidden" name="csrf_token" value="{{chrome.csrf}}"><input type="hidden" name="revision" value="{{revision}}"><input type="hidden" name="effective_from" value="{{effectiveFrom}}"><input type="hidden" name="take" value="1"><textarea name="catalogue" hidden aria-label="The entries">
        {{catalogue}}</textarea>
        <div class="sheet" tabindex="0" role="group" aria-label="Table"><table class="wide"><thead><tr><th scope="col">Take</th><th scope="col">Model</th><th scope="col">Where</th><th scope="col">What</th><th scope="col">Entry</th><th scope="col">Differs</th></tr></thead><tbody>{{#changes}}<tr><td data-title="Take">{{#canTake}}<input type="checkbox" name="model.{{index}}" value="{{model}}" aria-label="Take {{model}}" checked>{{/canTake}}{{^canTake}}–{{/canTake}}</td><td data-title="Model"><a href="{{href}}">{{model}}</a></td><td data-title="Where">{{place}}</td><td data-title="What"><span class="tag {{kind}}">{{action}}</span></td><td data-title="Entry">{{entry}}</td><td data-title="Differs">{{#lines}}<div>{{.}}</div>{{/lines}}</td></tr>{{/changes}}</tbody></table></div>
        <div class="acts">{{#canTake}}<button class="main-act">Take them into the draft</button>{{/canTake}}<a class="button" href="/admin/prices/import">Another catalogue</a><a class="button" href="/admin/prices">Cancel</a></div></form>{{/content}}{{/layout}}
        """

    private static let report = """
        {{<layout}}{{$content}}<div class="head"><h1>{{chrome.title}}</h1><div class="acts">{{#acts}}<a class="button" href="{{href}}">{{text}}</a>{{/acts}}</div></div><p class="soft">{{about}}</p>
        <form class="filters" method="get">{{>filters}}</form>
        {{#charts}}<div class="sheet pad" tabindex="0" role="group" aria-label="Chart">{{{svg}}}</div>{{/charts}}<div class="sheet" tabindex="0" role="group" aria-label="Table">{{#isEmpty}}<div class="empty"><p>{{emptyWords}}</p></div>{{/isEmpty}}{{^isEmpty}}{{#table}}{{>table}}{{/table}}{{/isEmpty}}</div><div class="pairs">{{#tables}}<section>{{>titled}}</section>{{/tables}}</div>{{/content}}{{/layout}}
        """

    private static let docsSide = """
        <body><a class="skip" href="#main">Skip to the content</a><header class="side"><a class="brand" href="/docs"><svg class="mark" viewBox="0 0 24 24" aria-hidden="true"><path d="M2 6h9c4 0 2 9 6 9h5M2 10h7c4 0 2 9 6 9h7"/></svg>Weir</a><details><summary>Menu</summary>
        <nav aria-label="Documentation">{{#chrome.sections}}<h2>{{title}}</h2><ul>{{#links}}<li><a href="{{href}}"{{#isCurrent}} aria-current="page"{{/isCurrent}}>{{text}}</a></li>{{/links}}</ul>{{/chrome.sections}}
        """

    private static let docs =
        start + docsSide + """
            <h2>API</h2><ul>{{#groups}}<li><a href="#{{id}}">{{title}}</a></li>{{/groups}}</ul></nav><div class="who"><a href="/admin">Console</a></div></details></header>
            <main id="main"><div class="head"><h1>Documentation</h1></div><p class="soft">The guides, as they belong to this version, and every route of its API.</p>
            <div class="pairs">{{#chrome.sections}}<section><h2>{{title}}</h2><ul>{{#links}}<li><a href="{{href}}">{{text}}</a></li>{{/links}}</ul></section>{{/chrome.sections}}</div>
            <h2 id="api">API</h2><p>As OpenAPI documents: <code>/admin/api/openapi.json</code> and <code>/external/v1/openapi.json</code>, each for who may use it. Errors are <code>application/problem+json</code> (RFC 9457): a code, what is wrong with each member, and what to do. A change sends the ETag that it read as <code>If-Match</code> (<code>*</code>: whatever is there now); what creates or acts may send an <code>Idempotency-Key</code>.</p>
            <p>The commands ask this control plane, <code>{{origin}}</code>, with a token or a key of yours: <code>export WEIR_TOKEN=…</code> (<a href="/admin/tokens/new">make one</a>, or <code>weir token create</code>), <code>export WEIR_KEY=…</code> (<a href="/admin/keys/new">make one</a>, or <code>weir key create</code>). They need <code>curl</code>, and <code>jq</code> where they look something up.</p>
            {{#groups}}<h3 id="{{id}}">{{title}}</h3>{{#routes}}<details class="sheet pad"><summary><code>{{method}} {{path}}</code> {{summary}}</summary><p class="soft small">{{who}}</p><div class="code"><button type="button" data-copy="curl-{{number}}" hidden>Copy</button><pre id="curl-{{number}}" tabindex="0" role="group" aria-label="Command">{{curl}}</pre></div>
            {{#hasQuery}}<h4 class="small">Query</h4><dl>{{#query}}<dt><code>{{name}}</code></dt><dd>{{about}} <span class="soft small">{{kind}}</span></dd>{{/query}}</dl>{{/hasQuery}}{{#hasBody}}<h4 class="small">Body</h4><dl>{{#body}}<dt><code>{{name}}</code></dt><dd>{{about}} <span class="soft small">{{kind}}</span></dd>{{/body}}</dl>{{/hasBody}}
            {{#answer}}<h4 class="small">Answer</h4><p class="small"><code>{{status}}</code> {{words}}</p>{{#hasFields}}<dl>{{#fields}}<dt><code>{{name}}</code></dt><dd>{{about}} <span class="soft small">{{kind}}</span></dd>{{/fields}}</dl>{{/hasFields}}{{/answer}}
            <h4 class="small">Errors</h4><dl>{{#problems}}<dt><code>{{name}}</code></dt><dd>{{about}}</dd>{{/problems}}</dl></details>{{/routes}}{{/groups}}</main></body></html>

            """

    private static let guide =
        start + docsSide + """
            <h2>API</h2><ul><li><a href="/docs#api">Every route</a></li></ul></nav><div class="who"><a href="/admin">Console</a></div></details></header>
            <main id="main"><article class="guide">{{#hasParts}}<nav class="parts small" aria-label="On this page"><ul>{{#parts}}<li><a href="#{{anchor}}">{{text}}</a></li>{{/parts}}</ul></nav>{{/hasParts}}{{{html}}}</article></main></body></html>

            """
}
