/** Takes out of foreign text what nobody may read. */
export type Mask = (text: string) => string

const shortestNumber = 7

/** Hides the names and mobile numbers that we sent: a refusal may quote them. */
export function maskOf(values: readonly string[]): Mask {
  const hidden = values
    .flatMap(formsOf)
    .filter(form => form !== '')
    .sort((one, other) => other.length - one.length)
  return text => hidden.reduce((masked, form) => masked.replaceAll(form, '***'), text)
}

// As it was sent, percent-encoded, and a number without what people write between its digits, or before it.
function formsOf(value: string): string[] {
  const digits = value.replace(/\D/g, '')
  const number = digits.length >= shortestNumber ? [digits, digits.slice(-11)] : []
  return [value, value.trim(), encodeURIComponent(value.toWellFormed()), ...number]
}
