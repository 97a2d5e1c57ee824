CREATE TABLE `keys` (
	`id` text PRIMARY KEY NOT NULL,
	`digest` text NOT NULL,
	`scope` text NOT NULL,
	`stores` text,
	`name` text,
	`created_at_ms` integer NOT NULL,
	`expires_at_ms` integer
);
--> statement-breakpoint
CREATE TABLE `books` (
	`store_id` integer NOT NULL,
	`book` text NOT NULL,
	`page` text NOT NULL,
	PRIMARY KEY(`store_id`, `book`)
);
--> statement-breakpoint
CREATE TABLE `orders` (
	`id` integer PRIMARY KEY NOT NULL,
	`merchant` text NOT NULL,
	`out_trade_no` text NOT NULL,
	`store_id` integer NOT NULL,
	`facts` text NOT NULL,
	`cart_id` text,
	`status` text NOT NULL,
	`generation` integer NOT NULL,
	`guide_id` text,
	`reason` text NOT NULL,
	`staff_version` integer NOT NULL,
	`roster_version` integer NOT NULL,
	`plan_version` integer NOT NULL,
	`trace` text,
	`turn` text,
	`decided_at_ms` integer NOT NULL,
	`expires_at_ms` integer NOT NULL,
	`due_at_ms` integer,
	`settled_at_ms` integer,
	`attempt_count` integer NOT NULL,
	`attempts` text NOT NULL,
	`upstream` text,
	`paid_at_ms` integer,
	`closed_at_ms` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `orders_number` ON `orders` (`merchant`,`out_trade_no`);--> statement-breakpoint
CREATE INDEX `orders_pending` ON `orders` (`expires_at_ms`,`due_at_ms`) WHERE due_at_ms IS NOT NULL;--> statement-breakpoint
CREATE INDEX `orders_cart` ON `orders` (`store_id`,`cart_id`) WHERE cart_id IS NOT NULL AND guide_id IS NOT NULL;--> statement-breakpoint
CREATE TABLE `documents` (
	`store_id` integer NOT NULL,
	`kind` text NOT NULL,
	`version` integer NOT NULL,
	`body` text NOT NULL,
	`author` text NOT NULL,
	`written_at_ms` integer NOT NULL,
	PRIMARY KEY(`store_id`, `kind`, `version`),
	FOREIGN KEY (`store_id`) REFERENCES `stores`(`store_id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `guides` (
	`guide_id` text PRIMARY KEY NOT NULL,
	`store_id` integer NOT NULL,
	`state` text NOT NULL,
	FOREIGN KEY (`store_id`) REFERENCES `stores`(`store_id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `guides_store` ON `guides` (`store_id`);--> statement-breakpoint
CREATE TABLE `installation` (
	`id` integer PRIMARY KEY DEFAULT 1 NOT NULL,
	`mode` text NOT NULL,
	`mchid` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `merchants` (
	`merchant` text PRIMARY KEY NOT NULL,
	`edition` text NOT NULL,
	`platform_auto_assign` integer NOT NULL,
	`assign_window_seconds` integer
);
--> statement-breakpoint
CREATE TABLE `owners` (
	`merchant` text NOT NULL,
	`member_id` text NOT NULL,
	`guide_id` text NOT NULL,
	`expires_at_ms` integer,
	PRIMARY KEY(`merchant`, `member_id`)
);
--> statement-breakpoint
CREATE TABLE `stores` (
	`store_id` integer PRIMARY KEY NOT NULL,
	`merchant` text NOT NULL,
	`name` text NOT NULL,
	`timezone` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `stores_merchant` ON `stores` (`merchant`);