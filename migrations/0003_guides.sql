CREATE TABLE `guide_import_rows` (
	`import_id` text NOT NULL,
	`row` integer NOT NULL,
	`sealed` text,
	`status` text NOT NULL,
	`guide_id` text,
	`errors` text,
	PRIMARY KEY(`import_id`, `row`),
	FOREIGN KEY (`import_id`) REFERENCES `guide_imports`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `guide_import_rows_waiting` ON `guide_import_rows` (`import_id`,`row`) WHERE status = 'waiting';--> statement-breakpoint
CREATE TABLE `guide_imports` (
	`id` text PRIMARY KEY NOT NULL,
	`author` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`ended_at_ms` integer
);
--> statement-breakpoint
CREATE TABLE `syncs` (
	`id` integer PRIMARY KEY NOT NULL,
	`ended_at_ms` integer NOT NULL,
	`report` text NOT NULL
);
--> statement-breakpoint
DROP INDEX `guides_store`;--> statement-breakpoint
ALTER TABLE `guides` ADD `userid` text;--> statement-breakpoint
ALTER TABLE `guides` ADD `work_id` text;--> statement-breakpoint
ALTER TABLE `guides` ADD `profile` text;--> statement-breakpoint
ALTER TABLE `guides` ADD `mobile_index` text;--> statement-breakpoint
ALTER TABLE `guides` ADD `missed_syncs` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `guides` ADD `seen_at_ms` integer;--> statement-breakpoint
ALTER TABLE `guides` ADD `erased_at_ms` integer;--> statement-breakpoint
CREATE INDEX `guides_mobile` ON `guides` (`mobile_index`) WHERE mobile_index IS NOT NULL;--> statement-breakpoint
CREATE INDEX `guides_store` ON `guides` (`store_id`,`userid`);