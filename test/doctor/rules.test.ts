import { describe, expect, it } from 'vitest'
import { readArguments } from '../../src/doctor/arguments.ts'
import { checkClock } from '../../src/doctor/clock-skew.ts'
import { checkGuideName } from '../../src/doctor/guide-name.ts'
import { checkPair } from '../../src/doctor/key-pair.ts'
import { compareSigned } from '../../src/doctor/sign-error.ts'

const ours = 'GET\n/v3/certificates\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n\n'

function read(theirs: string, bytes = Buffer.byteLength(theirs)) {
  return compareSigned(ours, {
    method: 'GET',
    url: '/v3/certificates',
    sign_message_length: bytes,
    truncated_sign_message: theirs,
  })
}

describe('our string to sign beside theirs', () => {
  it('is the same when both are, and when theirs is cut short', () => {
    expect(read(ours)).toEqual({ kind: 'same' })
    expect(read(ours.slice(0, 20), ours.length)).toEqual({ kind: 'same' })
    expect(read(ours, Buffer.byteLength(ours))).toEqual({ kind: 'same' })
  })

  it.each([
    ['the method', ours.replace('GET', 'POST'), 1, 1],
    ['the path', ours.replace('/v3/', '/gateway/v3/'), 2, 2],
    ['a query that is added', ours.replace('certificates', 'certificates?a=1'), 2, 17],
    ['the timestamp', ours.replace('1554208460', '1554208461'), 3, 10],
    ['the nonce', ours.replace('593B', '593b'), 4, 4],
    ['a body that is added', `${ours.slice(0, -1)}{"a":1}\n`, 5, 1],
    ['a line too many', `${ours}x`, 6, 1],
  ])('differs first in %s', (_, theirs, line, column) => {
    const found = read(theirs)
    expect(found).toMatchObject({ kind: 'differs', line, column })
    const marked = found.kind === 'differs' ? found.lines.filter(each => each.startsWith('>')) : []
    expect(marked).toHaveLength(1)
    expect(marked[0]).toMatch(new RegExp(`^> +${line}\\b`))
  })

  it('differs unseen when the part that is shown is ours and the length is not', () => {
    const found = read(ours.slice(0, 30), 400)
    expect(found).toMatchObject({ kind: 'differs_unseen', ourBytes: 66, theirBytes: 400 })
  })

  it('is marked below the character, however long the line, with no control character in it', () => {
    const long = `GET\n/${'a'.repeat(200)}\n1\n2\n\n`
    const theirs = long.replace(/a\n1/, '\u001b[31m\n1')
    const found = compareSigned(long, {
      method: 'GET',
      url: '/',
      sign_message_length: theirs.length,
      truncated_sign_message: theirs,
    })
    if (found.kind !== 'differs') throw new Error(found.kind)
    const at = found.lines.findIndex(line => line.startsWith('>'))
    const [text = '', mark = ''] = found.lines.slice(at)
    expect(text[mark.indexOf('^')]).toBe('a')
    expect(text[mark.lastIndexOf('^')]).toBe('·')
    expect(found.lines.join('')).not.toContain('\u001b')
    expect(Math.max(...found.lines.map(line => line.length))).toBeLessThan(110)
  })
})

describe('the clock', () => {
  const dateMs = 1_764_000_000_000
  it.each([
    [0, 'ok'],
    [60, 'ok'],
    [61, 'warn'],
    [-61, 'warn'],
    [299, 'warn'],
    [300, 'fail'],
    [-300, 'fail'],
    [86_400, 'fail'],
  ])('%i s off: %s', (seconds, status) => {
    const atMs = dateMs + 500 + seconds * 1000
    expect(checkClock({ atMs, dateMs, timestampMs: null }).status).toBe(status)
    expect(checkClock({ atMs, dateMs: null, timestampMs: dateMs }).status).toBe(status)
    expect(checkClock({ atMs, dateMs, timestampMs: dateMs }).status).toBe(status)
    const { found } = checkClock({ atMs, dateMs, timestampMs: null })
    if (seconds !== 0) expect(found).toContain(seconds > 0 ? 'ahead' : 'behind')
  })

  it('warns when the answer says no time', () => {
    expect(checkClock({ atMs: dateMs, dateMs: null, timestampMs: null }).status).toBe('warn')
  })
})

describe('a guide’s name', () => {
  it.each(['小美', 'Anne-Marie O’Neill', '麗', 'é', '一'.repeat(21), 'a'.repeat(64)])(
    'takes %s',
    name => {
      expect(checkGuideName(name).status).toBe('ok')
    },
  )

  it.each([
    ['', /blank/],
    [' \u3000 ', /blank/],
    ['小美😊', /character 3 of 3 is 😊 \(U\+1F60A\)/],
    ['👩‍💼小美', /character 1 of 5 is 👩 \(U\+1F469\)/],
    ['𠮷田', /character 1 of 2 is 𠮷 \(U\+20BB7\)/],
    ['小\u0007美', /character 2 of 3 is the control character U\+0007/],
    ['小\ud83d', /character 2 of 2 is the control character U\+D83D/],
    ['一'.repeat(22), /66 bytes of UTF-8/],
    ['a'.repeat(65), /65 bytes/],
  ])('refuses %j', (name, says) => {
    const { status, found } = checkGuideName(name)
    expect(status).toBe('fail')
    expect(found).toMatch(says)
  })

  it('is not said itself', () => {
    expect(JSON.stringify(checkGuideName(`陈晓雯${'一'.repeat(30)}`))).not.toContain('陈晓雯')
  })
})

it('has nothing to say of a pair of which nothing is known', () => {
  const nothing = { privateKey: null, serialNo: null, mchid: null, publicKey: null }
  expect(checkPair(nothing, { certificate: '', privateKey: '' }, 0)).toEqual([])
})

describe('arguments', () => {
  it.each([
    ['--bla'],
    ['--store', 'x'],
    ['--store', '-1'],
    ['--guide'],
    ['extra'],
    ['--sub-mchid', 'x'],
    ['--json=1'],
  ])('refuses %s %s', (...args) => {
    expect(readArguments(args)).toMatchObject({ wrong: expect.stringMatching(/\S/) })
  })

  it('reads all of them', () => {
    const args = ['--json', '--store', '1001', '--sub-mchid', '19', '--guide', '小美']
    expect(readArguments(args)).toEqual({
      json: true,
      help: false,
      storeId: 1001,
      subMchid: '19',
      guide: '小美',
    })
  })
})
