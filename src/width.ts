const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u
const none = /[\p{Mn}\p{Cc}\p{Cf}]/u

/** Columns on a terminal: a Chinese character takes two. */
export function widthOf(text: string): number {
  return [...text].reduce((sum, char) => sum + widthOfOne(char), 0)
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(1, width - widthOf(text)))
}

/** What fits into so many columns, the last of them an ellipsis where something was cut off. */
export function cut(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  let kept = ''
  let left = columns - 1
  for (const char of text) {
    left -= widthOfOne(char)
    if (left < 0) break
    kept += char
  }
  return columns > 0 ? `${kept}…` : ''
}

function widthOfOne(char: string): number {
  return wide.test(char) ? 2 : none.test(char) ? 0 : 1
}
