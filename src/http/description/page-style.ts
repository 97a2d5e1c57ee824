export const stylesheet = `
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5c6670;--line:#d9dee3;--back:#fff;--code:#f4f6f8;--mark:#07864b}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#98a2ab;--line:#333a41;--back:#15181b;--code:#1f2428;--mark:#3ecf8e}}
*{box-sizing:border-box}
html{scroll-padding-top:12px}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI","PingFang SC","Noto Sans CJK SC","Microsoft YaHei",sans-serif}
a{color:inherit;text-decoration-color:var(--line);text-underline-offset:3px}
.all{display:grid;grid-template-columns:330px minmax(0,900px);gap:40px;max-width:1330px;margin:0 auto;padding:0 24px}
.index{position:sticky;top:0;height:100vh;overflow-y:auto;padding:24px 8px 24px 0;font-size:13px}
.index h2{margin:18px 0 4px;font-size:13px;color:var(--soft)}
.index ul{margin:0;padding:0;list-style:none}
.index li{overflow-wrap:anywhere;padding:1px 0}
.index a{text-decoration:none}
main{padding:24px 0 80px}
h1{margin:0 0 4px;font-size:26px}
.group>h2{margin:56px 0 0;padding-top:16px;border-top:2px solid var(--ink);font-size:21px}
.operation{padding:20px 0 8px;border-bottom:1px solid var(--line)}
h3{margin:0;font-size:16px;overflow-wrap:anywhere}
h4{margin:14px 0 4px;font-size:13px;color:var(--soft);font-weight:600}
p{margin:4px 0}
code,pre{font:13px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"Noto Sans Mono CJK SC",monospace}
pre{margin:4px 0 8px;padding:10px 12px;border-radius:6px;background:var(--code);overflow-x:auto}
.method{display:inline-block;min-width:3.6em;color:var(--mark);font-weight:700}
.zh,.scopes,.soft{color:var(--soft)}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:13.5px}
th{text-align:left;font-weight:600;color:var(--soft)}
th,td{padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
td:first-child{white-space:nowrap}
summary{cursor:pointer}
@media (max-width:900px){.all{grid-template-columns:minmax(0,1fr);gap:0}.index{position:static;height:auto}td:first-child{white-space:normal}}
@media print{.index{display:none}.all{display:block}}
`
