import { createHash } from 'node:crypto'
import { curlSetup } from './curl.ts'
import {
  type ApiDocument,
  type Example,
  type Operation,
  readerOf,
  readers,
  type Schema,
} from './describe.ts'
import { type Field, fieldsOf, limitsOf, typeOf } from './fields.ts'
import { stylesheet } from './page-style.ts'

const styleHash = createHash('sha256').update(stylesheet).digest('base64')

/** Nothing is loaded, from here or elsewhere, and nothing runs. */
export const pagePolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

type Named = { name: string; id: string; method: string; path: string; operation: Operation }

/** The description as a page that needs nothing else. Pure; whatever the document says is text and no markup. */
export function renderPage(document: ApiDocument): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      nameOf(method.toUpperCase(), path, operation),
    ),
  )
  const groups = readers.map(reader => ({
    ...reader,
    own: operations.filter(
      ({ operation }) => readerOf(operation['x-scopes'] ?? []) === reader.name,
    ),
  }))
  const { info, components } = document
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(info.title)}: API</title>
<style>${stylesheet}</style>
</head>
<body>
<div class="all">
<nav class="index">
${groups.map(({ name, zh, own }) => `<h2>For ${text(name)} · ${text(zh)}</h2><ul>${own.map(indexLine).join('')}</ul>`).join('\n')}
<h2><a href="#schemas">Schemas</a></h2>
</nav>
<main>
<h1>${text(info.title)} <span class="soft">${text(info.version)}</span></h1>
<p>${text(info.description ?? '')}</p>
${introduction()}
${groups.map(({ name, zh, own }) => `<section class="group"><h2 id="${text(name)}">For ${text(name)} <span class="zh" lang="zh">${text(zh)}</span></h2>\n${own.map(one => operationSection(one, components.schemas)).join('\n')}</section>`).join('\n')}
<section class="group"><h2 id="schemas">Schemas</h2>
${Object.entries(components.schemas)
  .map(
    ([name, schema]) =>
      `<div class="operation" id="${anchor(name)}"><h3>${text(name)}</h3>${said(schema.description)}${fieldTable(schema)}</div>`,
  )
  .join('\n')}
</section>
</main>
</div>
</body>
</html>
`
}

const introduction =
  () => `<p>JSON in UTF-8; times in RFC 3339 with an offset; money in fen, as integers. What is refused is an
<code>application/problem+json</code> (RFC 9457): <code>code</code> says what, <code>errors</code> where;
with <code>Accept-Language: zh</code> in Chinese. <code>X-Request-Id</code> is accepted and returned. Any operation may
answer 500 <code>internal</code> (a defect of the service), and an order that is turned away for want of places 503
<code>overloaded</code>, before its key is looked at.</p>
<p lang="zh" class="zh">请求与应答为 UTF-8 编码的 JSON；时间为带时区的 RFC 3339；金额为整数，单位分。出错时返回 <code>code</code>（原因）和
<code>errors</code>（位置），带 <code>Accept-Language: zh</code> 则用中文说明。</p>
<p>The same for programs: <a href="/openapi.json">/openapi.json</a>. To run the lines below in the demo (<code>npm start</code>), set first:</p>
<pre>${text(curlSetup)}</pre>`

function nameOf(method: string, path: string, operation: Operation): Named {
  const name = `${method} ${path}`
  return { name, id: anchor(name), method, path, operation }
}

function indexLine({ id, method, path }: Named): string {
  return `<li><a href="#${id}"><span class="method">${text(method)}</span> ${text(path)}</a></li>`
}

function operationSection(
  { id, method, path, operation }: Named,
  schemas: Record<string, Schema>,
): string {
  const { summary, description, parameters = [], requestBody, responses } = operation
  const scopes = operation['x-scopes'] ?? []
  const key = scopes.length === 0 ? 'no key' : `key: ${scopes.join(', ')}`
  const [sample] = operation['x-codeSamples'] ?? []
  const bodies = Object.entries(requestBody?.content ?? {})
  return `<article class="operation" id="${id}">
<h3><span class="method">${text(method)}</span> <code>${text(path)}</code></h3>
<p>${text(summary)} <span class="zh" lang="zh">${text(operation['x-summary-zh'] ?? '')}</span> <span class="scopes">(${text(key)})</span></p>
${said(description)}
${table(
  'Parameters',
  ['name', 'in', 'type', 'meaning'],
  parameters.map(({ name, in: where, required, description: meaning, schema }) => [
    `<code>${text(name)}</code>${required ? ' *' : ''}`,
    text(where),
    linked(schema),
    prose([...limitsOf(schema), meaning ?? schema.description ?? ''].filter(Boolean).join('; ')),
  ]),
)}
${bodies.map(([media, { schema }]) => `<h4>Body: ${text(media)} ${schema.$ref ? linked(schema) : ''}</h4>${fieldTable(schemas[typeOf(schema)] ?? schema)}`).join('\n')}
${sample ? `<h4>Try it</h4><pre>${text(sample.source)}</pre>` : ''}
<h4>Answers</h4>
<div class="wide"><table>${Object.entries(responses).map(answerRow).join('')}</table></div>
</article>`
}

function answerRow([status, { description, content = {} }]: [
  string,
  Operation['responses'][string],
]): string {
  const shown = Object.entries(content).map(([, { schema, examples = {} }]) => {
    const isFault = Object.values(examples).some(({ summary }) => summary !== undefined)
    const each = Object.entries(examples).map(([name, example]) => exampleOf(name, example))
    return `${isFault ? '' : `${text(description)} ${schema.$ref ? linked(schema) : ''}`}${each.join('')}`
  })
  return `<tr><td><code>${text(status)}</code></td><td>${shown.join('') || text(description)}</td></tr>`
}

function exampleOf(name: string, { summary, value, ...more }: Example): string {
  const zh = more['x-summary-zh'] ?? ''
  const says = `<code>${text(name)}</code> ${text(summary ?? '')} <span class="zh" lang="zh">${text(zh)}</span>`
  const shown = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
  return `<details><summary>${says}</summary><pre>${text(shown)}</pre></details>`
}

function fieldTable(schema: Schema): string {
  const rows = fieldsOf(schema).map(({ path, isRequired, limits, says, ...field }: Field) => [
    `<code>${text(path)}</code>${isRequired ? ' *' : ''}`,
    text(field.type),
    prose([limits, says].filter(Boolean).join('; ')),
  ])
  return table('', ['field', 'type', 'meaning'], rows)
}

function table(title: string, heads: string[], rows: string[][]): string {
  if (rows.length === 0) return ''
  const head = heads.map(name => `<th>${name}</th>`).join('')
  const lines = rows.map(cells => `<tr>${cells.map(cell => `<td>${cell}</td>`).join('')}</tr>`)
  const above = title === '' ? '' : `<h4>${title}</h4>`
  return `${above}<div class="wide"><table><tr>${head}</tr>${lines.join('')}</table></div>`
}

function linked(schema: Schema): string {
  const type = typeOf(schema)
  return schema.$ref ? `<a href="#${anchor(type)}">${text(type)}</a>` : text(type)
}

const said = (words: string | undefined) => (words ? `<p>${prose(words)}</p>` : '')
/** What stands between backticks is code. */
const prose = (words: string) => text(words).replace(/`([^`]*)`/g, '<code>$1</code>')
const anchor = (name: string) => name.replace(/[^A-Za-z0-9]+/g, '-')

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const text = (raw: string) => raw.replace(/[&<>"']/g, character => entities[character] ?? '')
