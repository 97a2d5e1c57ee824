/**
 * How much of a test there is: the short form, that the suite is through in five minutes on two
 * cores, or the whole of it, in CI (`.ci/run`) and in `npm run torture`.
 */
export function atLength<T>(short: T, whole: T): T {
  return process.env['CI'] || process.env['FULL'] ? whole : short
}
