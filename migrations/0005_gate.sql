ALTER TABLE `keys` ADD `sealed` text;--> statement-breakpoint
ALTER TABLE `keys` ADD `last_used_at_ms` integer;