import type { Scope } from '../../access/keys.ts'
import { lin, type Told } from './told.ts'

/** What the lines need, in the demo: its address, its keys, and one of its guides. */
export const curlSetup = `U=http://127.0.0.1:8080
ASSIGN=spa_…; MANAGE=spa_…; ADMIN=spa_…        # the keys that npm start prints
GUIDE=$(curl -sS -H "Authorization: Bearer $MANAGE" "$U/guides?store_id=1001&limit=1" | sed 's/.*"guide_id":"\\([^"]*\\)".*/\\1/')`

const inPath: Readonly<Record<string, string>> = {
  store_id: '1001',
  out_trade_no: 'A20261123-0001',
  guide_id: '$GUIDE',
  member_id: 'member-wang',
  version: '1',
  other: '0',
  // Of the key or the import, from the answer that made it.
  id: '$ID',
}

const oneLine = 88

/** A line for a shell that has what `curlSetup` sets. */
export function curlOf(method: string, path: string, told: Told, scope: Scope | undefined): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => told.path?.[name] ?? inPath[name] ?? name)
  const query = told.query === undefined ? '' : `?${told.query}`
  const headers = [
    ...(scope ? [`-H "Authorization: Bearer $${scope.toUpperCase()}"`] : []),
    ...(told.ifMatch === undefined ? [] : [`-H 'If-Match: ${told.ifMatch}'`]),
  ]
  const call = `curl -sS${method === 'GET' ? '' : ` -X ${method}`} "$U${filled}${query}"`
  const [file] = Object.entries(told.files ?? {})
  if (file) {
    const [media, text] = file
    const lines = text.trimEnd().split('\n').map(quote).join(' \\\n  ')
    const sent = [...headers, `-H 'Content-Type: ${media}'`, '--data-binary @-']
    return `printf '%s\\n' ${lines} |\n  ${call} \\\n  ${sent.join(' ')}`
  }
  const [body] = Object.values(told.body ?? {})
  if (body === undefined) return [call, ...headers].join(' \\\n  ')
  const sent = [
    [...headers, "-H 'Content-Type: application/json'"].join(' '),
    `-d ${quote(spaced(body))}`,
  ]
  return [call, ...sent].join(' \\\n  ')
}

/** For a POSIX shell; the guide of the examples is the one whom the shell knows. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''").replaceAll(lin.guide_id, "'$GUIDE'")}'`
}

function spaced(value: unknown): string {
  const short = JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ')
  return short.length <= oneLine ? short : JSON.stringify(value, null, 2)
}
