CREATE TABLE `audit` (
	`seq` integer PRIMARY KEY NOT NULL,
	`at_ms` integer NOT NULL,
	`key_id` text,
	`key_name` text,
	`request_id` text,
	`kind` text NOT NULL,
	`subject` text NOT NULL,
	`store_id` integer,
	`before` text,
	`after` text,
	`hash` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_store` ON `audit` (`store_id`,`seq`);--> statement-breakpoint
CREATE INDEX `audit_subject` ON `audit` (`kind`,`subject`,`seq`);--> statement-breakpoint
CREATE TABLE `audit_head` (
	`id` integer PRIMARY KEY NOT NULL,
	`count` integer NOT NULL,
	`hash` text NOT NULL,
	`salt` text NOT NULL
);
--> statement-breakpoint
INSERT INTO `audit_head` (`id`, `count`, `hash`, `salt`) VALUES (1, 0, '', lower(hex(randomblob(32))));--> statement-breakpoint
CREATE TRIGGER `audit_stays` BEFORE UPDATE ON `audit` BEGIN SELECT RAISE(ABORT, 'a record of the audit stays as it is'); END;--> statement-breakpoint
CREATE TRIGGER `audit_kept` BEFORE DELETE ON `audit` BEGIN SELECT RAISE(ABORT, 'a record of the audit stays'); END;--> statement-breakpoint
CREATE TRIGGER `audit_goes_on` BEFORE INSERT ON `audit` WHEN NEW.`seq` IS NOT (SELECT `count` + 1 FROM `audit_head`) BEGIN SELECT RAISE(ABORT, 'a record of the audit is the next one'); END;--> statement-breakpoint
CREATE TRIGGER `audit_head_counts` BEFORE UPDATE ON `audit_head` WHEN NEW.`id` <> 1 OR NEW.`count` <> OLD.`count` + 1 OR NEW.`salt` <> OLD.`salt` BEGIN SELECT RAISE(ABORT, 'the audit counts up'); END;--> statement-breakpoint
CREATE TRIGGER `audit_head_stays` BEFORE DELETE ON `audit_head` BEGIN SELECT RAISE(ABORT, 'the audit has its count'); END;
