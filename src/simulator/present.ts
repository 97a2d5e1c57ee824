/** Without the fields that are undefined. */
export function present<T extends object>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.assign(
    {},
    ...Object.entries(fields).map(([name, value]) =>
      value === undefined ? {} : { [name]: value },
    ),
  )
}
