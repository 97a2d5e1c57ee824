CREATE TABLE `pauses` (
	`store_id` integer NOT NULL,
	`guide_id` text NOT NULL,
	`until_ms` integer NOT NULL,
	`why` text NOT NULL,
	`author` text NOT NULL,
	PRIMARY KEY(`store_id`, `guide_id`),
	FOREIGN KEY (`store_id`) REFERENCES `stores`(`store_id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
ALTER TABLE `documents` ADD `effective_at_ms` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `owners` ADD `since_ms` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `orders_store_time` ON `orders` (`store_id`,`decided_at_ms`);