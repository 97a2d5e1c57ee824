/** Columns on a terminal: a Chinese character takes two. */
export function widthOf(text: string): number {
  return [...text].reduce(
    (sum, char) =>
      sum +
      (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]/.test(char)
        ? 2
        : 1),
    0,
  )
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(1, width - widthOf(text)))
}
