import { type Check, fail, ok } from './check.ts'

const maxBytes = 64

/** By the field rules of registration: not blank, 1–3 byte characters, at most 64 bytes of UTF-8 before encryption. */
export function checkGuideName(name: string): Check {
  const check = 'guide name'
  if (name.trim() === '') return fail(check, 'it is blank', 'Give the guide a name.')
  const characters = [...name]
  const wrong = characters.findIndex(isRefused)
  const character = characters[wrong]
  if (character !== undefined) {
    return fail(
      check,
      `character ${wrong + 1} of ${characters.length} is ${describe(character)}: WeChat Pay takes characters of 1 to 3 bytes, no emoji`,
      'Take that character out of the name; rare Chinese characters of 4 bytes need a common substitute.',
    )
  }
  const bytes = Buffer.byteLength(name)
  if (bytes > maxBytes) {
    return fail(
      check,
      `${bytes} bytes of UTF-8 (a Chinese character has 3), and at most ${maxBytes} are taken`,
      `Shorten it by ${bytes - maxBytes} bytes.`,
    )
  }
  return ok(check, `${characters.length} characters, ${bytes} of ${maxBytes} bytes`)
}

function isRefused(character: string): boolean {
  return Buffer.byteLength(character) > 3 || /[\p{Cc}\p{Cs}]/u.test(character)
}

function describe(character: string): string {
  const point = character.codePointAt(0) ?? 0
  const name = `U+${point.toString(16).toUpperCase().padStart(4, '0')}`
  return /[\p{Cc}\p{Cs}]/u.test(character)
    ? `the control character ${name}`
    : `${character} (${name})`
}
