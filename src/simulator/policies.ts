import { z } from 'zod'

/** What the documents leave open. Each default is what careful callers should expect. */
export const policies = z.strictObject({
  assign_window_seconds: z.int().min(0).max(31_536_000),
  unknown_guide: z.enum(['accept', 'reject']),
  reassign: z.enum(['last_wins', 'first_wins', 'reject']),
  after_payment: z.enum(['accept', 'reject']),
  auto_assign: z.boolean(),
  edition: z.enum(['standard', 'commercial']),
  register_twice: z.enum(['same_id', 'error']),
  key_mode: z.enum(['public_key', 'certificate']),
})

export type Policies = z.infer<typeof policies>

export const defaultPolicies: Policies = {
  assign_window_seconds: 600,
  unknown_guide: 'accept',
  reassign: 'last_wins',
  after_payment: 'accept',
  auto_assign: false,
  edition: 'standard',
  register_twice: 'same_id',
  key_mode: 'public_key',
}
