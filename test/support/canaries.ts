import { readFileSync } from 'node:fs'

/** Every way in which a text that must not be told has been seen to slip through, by what the way is called. */
export function formsOf(text: string): Map<string, Buffer> {
  const utf8 = Buffer.from(text)
  const forms = new Map<string, Buffer>()
  const put = (name: string, form: string | Buffer) => forms.set(name, Buffer.from(form))
  put('utf-8', utf8)
  put('lower case', text.toLowerCase())
  put('upper case', text.toUpperCase())
  put('utf-16le', Buffer.from(text, 'utf16le'))
  put('utf-16be', Buffer.from(text, 'utf16le').swap16())
  put('percent', encodeURIComponent(text))
  put(
    'percent, lower case',
    encodeURIComponent(text).replace(/%../g, code => code.toLowerCase()),
  )
  put('percent, all', utf8.toString('hex').replace(/../g, '%$&'))
  put('form', encodeURIComponent(text).replaceAll('%20', '+'))
  put('hex', utf8.toString('hex'))
  put('hex, upper case', utf8.toString('hex').toUpperCase())
  const escaped = text.replace(/[^ -~]/g, unit => `\\u${hexOf(unit)}`)
  put('json', escaped)
  put(
    'json, upper case',
    escaped.replace(/\\u..../g, code => `\\u${code.slice(2).toUpperCase()}`),
  )
  put(
    'json, all',
    text.replace(/[\s\S]/g, unit => `\\u${hexOf(unit)}`),
  )
  for (const at of [0, 1, 2]) {
    for (const alphabet of ['base64', 'base64url'] as const) {
      put(`${alphabet} at ${at}`, insideOf(utf8, at, alphabet))
    }
  }
  return forms
}

/** Where in `bytes` any of the texts is, in any form: none is what we want. */
export function findCanaries(where: string, bytes: Buffer, canaries: readonly string[]): string[] {
  return canaries.flatMap(canary => {
    const [form] = [...formsOf(canary)].find(([, found]) => bytes.includes(found)) ?? []
    return form === undefined ? [] : [`${where}: ${canary} (${form})`]
  })
}

export function findInFile(path: string, canaries: readonly string[]): string[] {
  return findCanaries(path, readFileSync(path), canaries)
}

/** What base64 makes of the bytes in the midst of others, `at` bytes after a multiple of three. */
function insideOf(bytes: Buffer, at: number, alphabet: 'base64' | 'base64url'): string {
  const encoded = Buffer.concat([Buffer.alloc(at), bytes]).toString(alphabet)
  const [from, to] = [Math.ceil((at * 8) / 6), Math.floor(((at + bytes.length) * 8) / 6)]
  return encoded.slice(from, to)
}

function hexOf(unit: string): string {
  return unit.charCodeAt(0).toString(16).padStart(4, '0')
}
